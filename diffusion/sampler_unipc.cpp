// UniPC: Zhao et al., arXiv 2302.04867; the data prediction form (appendix, eq. of B(h)).
#include <algorithm>
#include <cmath>
#include <deque>

#include "diffusion/sampler_walk.h"

namespace weft {

namespace {

struct Estimate {
    torch::Tensor x0;
    double at;  // log-SNR
};

using History = std::deque<Estimate>;  // the newest in front

// The coefficients of a step from the newest estimate: B(h), and R and b of the linear system whose
// solution weighs the estimates' differences (section 3.2).
struct System {
    double base;            // B(h)
    torch::Tensor powers;   // R: [order, order] f64
    torch::Tensor targets;  // b: [order] f64
};

// @param places r_k, where the differences end, in steps from the newest estimate
System system_of(const std::vector<double>& places, double h, SolverConfig::UniPc variant) {
    const double base = variant == SolverConfig::UniPc::bh1 ? -h : std::expm1(-h);
    const torch::Tensor r = torch::tensor(places, torch::kFloat64);
    std::vector<torch::Tensor> rows;
    std::vector<double> targets;
    double phi = std::expm1(-h) / -h - 1;  // phi_2(-h) h, phi_3(-h) h, ... in turn
    double factorial = 1;
    for (size_t i = 0; i < places.size(); ++i) {
        rows.push_back(r.pow(static_cast<double>(i)));
        targets.push_back(phi * factorial / base);
        factorial *= static_cast<double>(i + 2);
        phi = phi / -h - 1 / factorial;
    }
    return {base, torch::stack(rows), torch::tensor(targets, torch::kFloat64)};
}

std::vector<double> solved(const torch::Tensor& matrix, const torch::Tensor& vector) {
    const torch::Tensor solution = at::linalg_solve(matrix, vector).contiguous();
    return {solution.data_ptr<double>(), solution.data_ptr<double>() + solution.numel()};
}

class UniPc {
  public:
    UniPc(const History& history, const NoiseStep& step, SolverConfig::UniPc variant)
        : history_(history), step_(step), variant_(variant) {
        h_ = log_snr(step.to) - log_snr(step.from);
    }

    // UniP: from x at step.from, as polynomial through the last `order` estimates.
    torch::Tensor predicted(const torch::Tensor& x, size_t order) const {
        if (order == 1)
            return first_order(x);
        std::vector<double> weights{0.5};  // as the reference implementation has it
        const System system = system_of(places(order), h_, variant_);
        const auto used = static_cast<int64_t>(order) - 1;
        if (order > 2)
            weights = solved(system.powers.slice(0, 0, used).slice(1, 0, used),
                             system.targets.slice(0, 0, used));
        return first_order(x) - weighted(weights) * (step_.to.alpha * system.base);
    }

    // UniC: the same once the estimate at step.to is known.
    torch::Tensor corrected(const torch::Tensor& x, const torch::Tensor& arrived,
                            size_t order) const {
        const System system = system_of(places(order), h_, variant_);
        std::vector<double> weights{0.5};
        if (order > 1)
            weights = solved(system.powers, system.targets);
        torch::Tensor sum = (arrived - history_[0].x0) * weights.back();
        weights.pop_back();
        if (!weights.empty())
            sum = sum + weighted(weights);
        return first_order(x) - sum * (step_.to.alpha * system.base);
    }

  private:
    torch::Tensor first_order(const torch::Tensor& x) const {
        return x * (step_.to.sigma / step_.from.sigma) -
               history_[0].x0 * (step_.to.alpha * std::expm1(-h_));
    }

    // r_1 .. r_(order - 1) of the older estimates, and 1: where the step ends.
    std::vector<double> places(size_t order) const {
        std::vector<double> r;
        for (size_t k = 1; k < order; ++k) r.push_back((history_[k].at - history_[0].at) / h_);
        r.push_back(1);
        return r;
    }

    torch::Tensor weighted(const std::vector<double>& weights) const {
        torch::Tensor sum;
        for (size_t k = 0; k < weights.size(); ++k) {
            const Estimate& older = history_[k + 1];
            const double r = (older.at - history_[0].at) / h_;
            const torch::Tensor term = (older.x0 - history_[0].x0) * (weights[k] / r);
            sum = sum.defined() ? sum + term : term;
        }
        return sum;
    }

    const History& history_;
    const NoiseStep& step_;
    SolverConfig::UniPc variant_;
    double h_ = 0;
};

size_t order_at(const Walk& walk, size_t i) {
    if (walk.steps()[i].to.sigma <= 0)
        return 1;
    const SolverConfig& solver = walk.solver();
    const size_t left = solver.lower_order_final ? walk.size() - i : walk.size();
    return std::min({static_cast<size_t>(solver.order), left, i + 1});
}

}  // namespace

torch::Tensor run_unipc(const Walk& walk, torch::Tensor x) {
    const SolverConfig& solver = walk.solver();
    const auto& skipped = solver.disable_corrector;
    History history;
    torch::Tensor last_x;
    for (size_t i = 0; i < walk.size(); ++i) {
        const NoiseStep& step = walk.steps()[i];
        const torch::Tensor x0 = walk.x0(x, step.from);
        const auto before = static_cast<int64_t>(i) - 1;
        if (i > 0 && std::find(skipped.begin(), skipped.end(), before) == skipped.end()) {
            const NoiseStep past{walk.steps()[i - 1].from, step.from};
            x = UniPc(history, past, solver.unipc).corrected(last_x, x0, order_at(walk, i - 1));
        }
        history.push_front({x0, log_snr(step.from)});
        if (history.size() > 3)
            history.pop_back();
        last_x = x;
        x = UniPc(history, step, solver.unipc).predicted(x, order_at(walk, i));
        walk.tell_step(i, x);
    }
    return x;
}

}  // namespace weft
