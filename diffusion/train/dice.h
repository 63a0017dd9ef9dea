#pragma once

#include <cstddef>
#include <cstdint>

namespace weft {

/// Scalar draws of the procedural data: a pure function of a seed and of how many draws came before
/// (splitmix64, Steele et al. 2014). Thread-safe: no; make one where it is needed.
class Dice {
  public:
    explicit Dice(uint64_t seed) : state_(seed) {}

    /// An independent stream for each `purpose`.
    Dice(uint64_t seed, uint64_t purpose) : state_(seed) {
        state_ = next() ^ (purpose * 0xd1342543de82ef95ULL);
    }

    uint64_t next() {
        uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
        return z ^ (z >> 31);
    }

    /// Uniform in low..high.
    double uniform(double low = 0, double high = 1) {
        return low + (high - low) * static_cast<double>(next() >> 11) * 0x1p-53;
    }

    bool chance(double probability) { return uniform() < probability; }

    /// 0 .. size - 1.
    size_t below(size_t size) { return static_cast<size_t>(uniform() * static_cast<double>(size)); }

    /// About normal with mean 0 and deviation 1, within -4.9..4.9 (sum of eight uniforms).
    double normal() {
        double sum = -4;
        for (int k = 0; k < 8; ++k) {
            sum += uniform();
        }
        return sum * 1.2247448713915890;
    }

    template <class List>
    const auto& pick(const List& list) {
        return list[below(list.size())];
    }

  private:
    uint64_t state_;
};

}  // namespace weft
