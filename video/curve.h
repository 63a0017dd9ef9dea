#pragma once

#include <concepts>
#include <cstddef>
#include <vector>

namespace weft {

/// A value over the clip's time: keys in rising order. Numbers go straight from key to key,
/// everything else holds until the next key; before the first and after the last key the end value
/// holds. One key is a constant; no key means "not given". A value. Thread-safe: yes (immutable
/// use).
template <class T>
struct Curve {
    struct Key {
        double at_s = 0;  // seconds from the clip's first frame
        T value{};
        friend bool operator==(const Key&, const Key&) = default;
    };

    std::vector<Key> keys;

    static Curve constant(T value) { return {{{0.0, std::move(value)}}}; }

    bool empty() const { return keys.empty(); }

    /// Precondition: not empty.
    T at(double time_s) const {
        size_t next = 0;
        while (next < keys.size() && keys[next].at_s <= time_s) {
            ++next;
        }
        if (next == 0) {
            return keys.front().value;
        }
        const Key& before = keys[next - 1];
        if constexpr (std::floating_point<T>) {
            if (next < keys.size()) {
                const Key& after = keys[next];
                const double way = (time_s - before.at_s) / (after.at_s - before.at_s);
                return before.value + way * (after.value - before.value);
            }
        }
        return before.value;
    }

    friend bool operator==(const Curve&, const Curve&) = default;
};

}  // namespace weft
