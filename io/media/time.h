#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>

namespace weft {

/// An exact fraction, kept in lowest terms with a positive denominator: frame rates, time bases,
/// pixel aspects. 0/1 stands for "unknown" where a field says so. Thread-safe: yes (value).
class Rational {
  public:
    constexpr Rational() = default;
    /// @param den not 0. Sums and products whose reduced terms leave int64 are a bug (TORCH_CHECK).
    Rational(int64_t num, int64_t den);

    explicit Rational(int64_t whole) : num_(whole) {}

    int64_t num() const { return num_; }

    int64_t den() const { return den_; }

    double value() const { return static_cast<double>(num_) / static_cast<double>(den_); }

    bool is_zero() const { return num_ == 0; }

    Rational inverse() const;
    /// The nearest integer to this / unit; halves away from zero. This is how a time becomes ticks
    /// of a time base.
    int64_t rounded_to(const Rational& unit) const;

    friend Rational operator+(const Rational& a, const Rational& b);
    friend Rational operator-(const Rational& a, const Rational& b);
    friend Rational operator*(const Rational& a, const Rational& b);
    friend Rational operator/(const Rational& a, const Rational& b);
    friend bool operator==(const Rational& a, const Rational& b) = default;
    friend std::strong_ordering operator<=>(const Rational& a, const Rational& b);

  private:
    int64_t num_ = 0;
    int64_t den_ = 1;
};

/// A moment or a length on the clip's own clock, in seconds.
class Time : public Rational {
  public:
    constexpr Time() = default;

    /// num/den seconds.
    Time(int64_t num, int64_t den) : Rational(num, den) {}

    explicit Time(const Rational& seconds) : Rational(seconds) {}

    /// `ticks` of a time base, e.g. a pts.
    static Time of(int64_t ticks, const Rational& time_base) {
        return Time(time_base * Rational(ticks));
    }

    double seconds() const { return value(); }

    int64_t ticks(const Rational& time_base) const { return rounded_to(time_base); }

    friend Time operator+(const Time& a, const Time& b) { return Time(Rational(a) + Rational(b)); }

    friend Time operator-(const Time& a, const Time& b) { return Time(Rational(a) - Rational(b)); }
};

/// A place in a clip as a user writes it (--from, --to, plan files): a time, or a frame number.
struct Position {
    Time time;                     // counted from the first frame of the clip
    std::optional<int64_t> frame;  // set for "90f"; then `time` is not used

    /// Reads "12.5" (seconds), "01:02.5", "00:01:02.5" or "90f" (frame 90, the first is 0).
    /// Throws UsageError naming `option` for anything else, negative values included.
    static Position parse(const std::string& text, const std::string& option);
};

/// Reads a frame rate: "24", "30000/1001", or "29.97" and the like, which stand for n*1000/1001.
/// nullopt for anything else and outside 1/1000 .. 1000 frames a second.
std::optional<Rational> parse_rate(const std::string& text);

/// "0:01:02.500", for messages.
std::string to_string(const Time& time);

}  // namespace weft
