#include "diffusion/spacing.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace weft {

namespace {

// i of n points as a share of the way, [0, 1].
double share(int64_t i, int64_t n) {
    return n > 1 ? static_cast<double>(i) / static_cast<double>(n - 1) : 0;
}

// Karras et al., arXiv 2206.00364, eq. 5.
double karras(double high, double low, double u) {
    constexpr double rho = 7;
    const double from = std::pow(high, 1 / rho);
    const double to = std::pow(low, 1 / rho);
    return std::pow(from + u * (to - from), rho);
}

// The continued fraction of the incomplete beta integral (DLMF 8.17.22) for a = b, by Lentz's
// method; converges fast for x <= 1/2.
double beta_fraction(double x, double a) {
    double c = 1;
    double d = 1 / (1 - 2 * a * x / (a + 1));
    double value = d;
    for (int m = 1; m < 300; ++m) {
        const double even = m * (a - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        const double odd = -(a + m) * (2 * a + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        for (const double term : {even, odd}) {
            d = 1 / (1 + term * d);
            c = 1 + term / c;
            value *= c * d;
        }
        if (std::abs(c * d - 1) < 1e-15)
            break;
    }
    return value;
}

// The cumulative Beta(a, a) distribution for x in [0, 1/2].
double beta_cumulative(double x, double a) {
    if (x <= 0)
        return 0;
    const double whole = std::tgamma(a) * std::tgamma(a) / std::tgamma(2 * a);
    return std::pow(x * (1 - x), a) / whole * beta_fraction(x, a) / a;
}

using Table = std::array<double, 11>;

const Table& ays_table(AysTable table) {
    static constexpr Table sd1{14.615, 6.475, 3.861, 2.697, 1.886, 1.396,
                               0.963,  0.652, 0.399, 0.152, 0.029};
    static constexpr Table sdxl{14.615, 6.315, 3.771, 2.181, 1.342, 0.862,
                                0.555,  0.380, 0.234, 0.113, 0.029};
    static constexpr Table svd{700.00, 54.5,  15.886, 7.977, 4.248, 1.789,
                               0.981,  0.403, 0.173,  0.034, 0.002};
    switch (table) {
        case AysTable::sd1:
            return sd1;
        case AysTable::sdxl:
            return sdxl;
        case AysTable::svd:
            return svd;
    }
    TORCH_CHECK(false, "unknown table");
}

}  // namespace

double beta_quantile(double p, double a) {
    TORCH_CHECK(p >= 0 && p <= 1 && a > 0, "no quantile ", p, " of Beta(", a, ", ", a, ")");
    const double wanted = std::min(p, 1 - p);  // the distribution is symmetric
    double low = 0;
    double high = wanted > 0 ? 0.5 : 0;
    while (high - low > high * std::numeric_limits<double>::epsilon()) {
        const double middle = (low + high) / 2;
        if (middle <= low || middle >= high)
            break;
        (beta_cumulative(middle, a) < wanted ? low : high) = middle;
    }
    return p > 0.5 ? 1 - high : high;
}

std::vector<double> spread(Spacing spacing, double high, double low, int64_t steps) {
    TORCH_CHECK(high >= low && low > 0, "cannot spread from ", high, " to ", low);
    std::vector<double> values;
    for (int64_t i = 0; i < steps; ++i) {
        const double u = share(i, steps);
        if (spacing == Spacing::karras)
            values.push_back(karras(high, low, u));
        else if (spacing == Spacing::exponential)
            values.push_back(std::exp(std::log(high) + u * (std::log(low) - std::log(high))));
        else
            values.push_back(low + beta_quantile(1 - u, 0.6) * (high - low));
    }
    return values;
}

std::vector<double> align_your_steps(AysTable table, int64_t steps) {
    const Table& points = ays_table(table);
    std::vector<double> values;
    for (int64_t i = 0; i < steps; ++i) {
        const double at = static_cast<double>(i) / static_cast<double>(steps) *
                          static_cast<double>(points.size() - 1);
        const auto low = std::min(static_cast<size_t>(at), points.size() - 2);
        const double w = at - static_cast<double>(low);
        values.push_back(
            std::exp((1 - w) * std::log(points.at(low)) + w * std::log(points.at(low + 1))));
    }
    return values;
}

}  // namespace weft
