#include "io/media/time.h"

#include <c10/util/Exception.h>
#include <c10/util/StringUtil.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>
#include <regex>

#include "io/files/error.h"

namespace weft {
namespace {

__extension__ using Wide = __int128;

Rational reduced(Wide num, Wide den) {
    TORCH_CHECK(den != 0, "a fraction needs a denominator");
    Wide a = num < 0 ? -num : num;
    Wide b = den < 0 ? -den : den;
    while (b != 0) {
        const Wide rest = a % b;
        a = b;
        b = rest;
    }
    const Wide divisor = (den < 0 ? -1 : 1) * (a == 0 ? 1 : a);
    num /= divisor;
    den /= divisor;
    constexpr Wide limit = std::numeric_limits<int64_t>::max();
    TORCH_CHECK(num <= limit && num >= -limit && den <= limit, "time out of the 64-bit range");
    return {static_cast<int64_t>(num), static_cast<int64_t>(den)};
}

/// "12.5" as an exact fraction; the pattern has at most 9 digits on either side.
Rational decimal(const std::string& whole, const std::string& fraction) {
    int64_t scale = 1;
    for (size_t i = 0; i < fraction.size(); ++i) scale *= 10;
    return Rational(std::stoll(whole)) +
           Rational(fraction.empty() ? 0 : std::stoll(fraction), scale);
}

}  // namespace

Rational::Rational(int64_t num, int64_t den) : num_(num), den_(den) {
    TORCH_CHECK(den != 0 && den != std::numeric_limits<int64_t>::min(),
                "a fraction needs a denominator");
    if (den_ < 0) {
        num_ = -num_;
        den_ = -den_;
    }
    const int64_t divisor = std::gcd(num_, den_);
    num_ /= divisor;
    den_ /= divisor;
}

Rational Rational::inverse() const {
    return {den_, num_};
}

int64_t Rational::rounded_to(const Rational& unit) const {
    const Wide num = static_cast<Wide>(num_) * unit.den_;
    const Wide den = static_cast<Wide>(den_) * unit.num_;
    TORCH_CHECK(den > 0, "a unit of time must be positive");
    const Wide half = num < 0 ? -(den / 2) : den / 2;
    return static_cast<int64_t>((num + half) / den);
}

Rational operator+(const Rational& a, const Rational& b) {
    return reduced(static_cast<Wide>(a.num_) * b.den_ + static_cast<Wide>(b.num_) * a.den_,
                   static_cast<Wide>(a.den_) * b.den_);
}

Rational operator-(const Rational& a, const Rational& b) {
    return reduced(static_cast<Wide>(a.num_) * b.den_ - static_cast<Wide>(b.num_) * a.den_,
                   static_cast<Wide>(a.den_) * b.den_);
}

Rational operator*(const Rational& a, const Rational& b) {
    return reduced(static_cast<Wide>(a.num_) * b.num_, static_cast<Wide>(a.den_) * b.den_);
}

Rational operator/(const Rational& a, const Rational& b) {
    return reduced(static_cast<Wide>(a.num_) * b.den_, static_cast<Wide>(a.den_) * b.num_);
}

std::strong_ordering operator<=>(const Rational& a, const Rational& b) {
    const Wide left = static_cast<Wide>(a.num_) * b.den_;
    const Wide right = static_cast<Wide>(b.num_) * a.den_;
    if (left == right)
        return std::strong_ordering::equal;
    return left < right ? std::strong_ordering::less : std::strong_ordering::greater;
}

Position Position::parse(const std::string& text, const std::string& option) {
    static const std::regex frame_pattern("([0-9]{1,15})f");
    static const std::regex time_pattern(
        "(?:(?:([0-9]{1,6}):)?([0-9]{1,6}):)?([0-9]{1,9})(?:\\.([0-9]{1,9}))?");
    std::smatch match;
    if (std::regex_match(text, match, frame_pattern))
        return {.time = {}, .frame = std::stoll(match[1])};
    if (!std::regex_match(text, match, time_pattern))
        throw UsageError(option, c10::str("'", text, "' is no time"),
                         "write seconds (12.5), a clock time (00:01:02.5) or a frame (90f)");
    Rational seconds = decimal(match[3], match[4]);
    if (match[2].matched)
        seconds = seconds + Rational(60 * std::stoll(match[2]));
    if (match[1].matched)
        seconds = seconds + Rational(3600 * std::stoll(match[1]));
    return {.time = Time(seconds), .frame = std::nullopt};
}

std::optional<Rational> parse_rate(const std::string& text) {
    static const std::regex pattern("([0-9]{1,9})(?:/([0-9]{1,9})|\\.([0-9]{1,9}))?");
    std::smatch match;
    if (!std::regex_match(text, match, pattern))
        return std::nullopt;
    if (match[2].matched && std::stoll(match[2]) == 0)
        return std::nullopt;
    Rational rate = match[2].matched ? Rational(std::stoll(match[1]), std::stoll(match[2]))
                                     : decimal(match[1], match[3]);
    if (match[3].matched) {
        const Rational ntsc(std::llround(std::ceil(rate.value())) * 1000, 1001);
        if (std::abs(ntsc.value() - rate.value()) < 0.006)
            rate = ntsc;
    }
    const bool fits = rate >= Rational(1, 1000) && rate <= Rational(1000);
    return fits ? std::optional(rate) : std::nullopt;
}

std::string to_string(const Time& time) {
    const int64_t ms = std::llabs(time.ticks({1, 1000}));
    std::array<char, 48> text{};
    std::snprintf(text.data(), text.size(), "%s%lld:%02lld:%02lld.%03lld", time < Time() ? "-" : "",
                  static_cast<long long>(ms / 3'600'000), static_cast<long long>(ms / 60'000 % 60),
                  static_cast<long long>(ms / 1000 % 60), static_cast<long long>(ms % 1000));
    return text.data();
}

}  // namespace weft
