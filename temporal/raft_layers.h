#pragma once

// The parts of RAFT that look at one picture or one update, named as in torchvision. For raft.cpp.

#include <torch/types.h>

#include <optional>
#include <utility>
#include <vector>

#include "io/files/weights.h"

namespace weft::raft {

/// A convolution whose output channels and kernel are those of the stored tensor; padded so that
/// stride 1 keeps the size.
class Convolution {
  public:
    Convolution(const Weights& weights, int64_t in, int64_t stride = 1);

    torch::Tensor operator()(const torch::Tensor& x) const;

    int64_t out() const { return weight_.size(0); }

  private:
    torch::Tensor weight_;
    torch::Tensor bias_;
    int64_t stride_;
};

/// How a convolution's answer is normalised: batch statistics that were stored, each picture's own,
/// or not at all.
class Norm {
  public:
    enum class Otherwise { instance, none };

    /// Stored statistics in scope where there are any.
    Norm(const Weights& weights, int64_t channels, Otherwise otherwise);

    torch::Tensor operator()(const torch::Tensor& x) const;

  private:
    torch::Tensor weight_;  // undefined: nothing is stored
    torch::Tensor bias_;
    torch::Tensor mean_;
    torch::Tensor variance_;
    Otherwise otherwise_;
};

/// Convolution "0", norm "1", ReLU.
struct ConvolutionUnit {
    Convolution convolution;
    Norm norm;

    ConvolutionUnit(const Weights& weights, int64_t in, int64_t stride, Norm::Otherwise otherwise);

    torch::Tensor normed(const torch::Tensor& x) const { return norm(convolution(x)); }

    torch::Tensor operator()(const torch::Tensor& x) const { return normed(x).relu(); }
};

/// Residual block of two 3x3 units, or bottleneck of 1x1, 3x3 and 1x1 ones.
class Block {
  public:
    Block(const Weights& weights, int64_t in, int64_t stride, Norm::Otherwise otherwise);
    torch::Tensor operator()(const torch::Tensor& x) const;

    int64_t out() const { return units_.back().convolution.out(); }

  private:
    std::vector<ConvolutionUnit> units_;
    std::optional<ConvolutionUnit> downsample_;
};

/// Feature or context encoder: [n, 3, h, w] -> [n, out, h/8, w/8].
class Encoder {
  public:
    Encoder(const Weights& weights, Norm::Otherwise otherwise);
    torch::Tensor operator()(const torch::Tensor& x) const;

    int64_t out() const { return last_.out(); }

  private:
    ConvolutionUnit first_;
    std::vector<Block> blocks_;
    Convolution last_;
};

/// Similarities of all pairs of positions at four scales (paper, section 3.2).
class Correlation {
  public:
    static constexpr int64_t levels = 4;

    /// @param target, source features [n, c, h, w]
    Correlation(const torch::Tensor& target, const torch::Tensor& source);

    /// The (2 radius + 1)^2 neighbours of each position at each level, as channels.
    /// @param at positions (x, y) in the source, [n, 2, h, w]
    torch::Tensor around(const torch::Tensor& at, int64_t radius) const;

  private:
    std::vector<torch::Tensor> pyramid_;  // [n h w, 1, h / 2^level, w / 2^level]
};

/// Motion encoder, recurrent unit and flow head (paper, section 3.3).
class Update {
  public:
    Update(const Weights& weights, int64_t context_channels);

    int64_t hidden_size() const { return hidden_size_; }

    int64_t radius() const { return radius_; }

    /// Hidden state and change of the flow.
    std::pair<torch::Tensor, torch::Tensor> operator()(const torch::Tensor& hidden,
                                                       const torch::Tensor& context,
                                                       const torch::Tensor& correlation,
                                                       const torch::Tensor& flow) const;

  private:
    struct Gru {
        Convolution z;
        Convolution r;
        Convolution q;
        Gru(const Weights& weights, int64_t in);
        torch::Tensor operator()(const torch::Tensor& hidden, const torch::Tensor& x) const;
    };

    torch::Tensor motion(const torch::Tensor& correlation, const torch::Tensor& flow) const;

    int64_t radius_;
    int64_t hidden_size_;
    std::vector<Convolution> correlation_;
    std::vector<Convolution> flow_;
    std::vector<Convolution> joint_;
    std::vector<Gru> recurrent_;
    std::vector<Convolution> head_;
};

/// Weights of the convex combination that makes the flow eight times as large (paper, appendix B).
class UpsampleMask {
  public:
    UpsampleMask(const Weights& weights, int64_t hidden_size);
    /// [n, 2, h, w] -> [n, 2, 8 h, 8 w]
    torch::Tensor upsampled(const torch::Tensor& flow, const torch::Tensor& hidden) const;

  private:
    Convolution first_;
    Convolution last_;
};

/// Positions (x, y) of a grid like that of `like`, [n, 2, h, w].
torch::Tensor positions(const torch::Tensor& like);

}  // namespace weft::raft
