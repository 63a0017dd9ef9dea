#include "temporal/classic_flow.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <opencv2/video/tracking.hpp>

namespace weft {
namespace {

// Pyramids need a few patches on their coarsest level; smaller pictures are padded by their edge.
constexpr int64_t least_side = 32;

/// [n, 3, h, w] in [0, 1] -> luma (BT.601) [n, h, w] in 8 bits, what both methods work on.
torch::Tensor luma_bytes(const torch::Tensor& pictures) {
    TORCH_CHECK(pictures.dim() == 4 && pictures.size(1) == 3, "pictures of shape ",
                pictures.sizes());
    const auto rgb = pictures.to(torch::kCPU, torch::kFloat32);
    const auto luma =
        0.299 * rgb.select(1, 0) + 0.587 * rgb.select(1, 1) + 0.114 * rgb.select(1, 2);
    return (luma.clamp(0, 1) * 255).round().to(torch::kUInt8).contiguous();
}

/// A view of one picture's bytes; lives as long as the tensor.
cv::Mat view(torch::Tensor& luma, int64_t n) {
    return {static_cast<int>(luma.size(1)), static_cast<int>(luma.size(2)), CV_8UC1,
            luma.data_ptr<uint8_t>() + n * luma.size(1) * luma.size(2)};
}

torch::Tensor to_tensor(const cv::Mat& flow) {
    TORCH_CHECK(flow.type() == CV_32FC2 && flow.isContinuous(), "unexpected flow type");
    return torch::from_blob(flow.data, {flow.rows, flow.cols, 2}, torch::kFloat32)
        .permute({2, 0, 1})
        .contiguous();
}

/// Runs a method of OpenCV on each pair of a batch.
class ClassicFlow : public FlowEstimator {
  public:
    using Method = cv::Ptr<cv::DenseOpticalFlow> (*)();

    explicit ClassicFlow(Method method) : method_(method) {
        // DIS cuts a picture into as many stripes as there are threads and its result depends on
        // them; one thread is the only number that every machine has.
        cv::setNumThreads(1);
    }

    torch::Tensor operator()(const torch::Tensor& target,
                             const torch::Tensor& source) const override {
        TORCH_CHECK(target.sizes() == source.sizes(), "target ", target.sizes(), ", source ",
                    source.sizes());
        const auto height = target.size(2);
        const auto width = target.size(3);
        const std::array<int64_t, 4> margin{0, std::max<int64_t>(0, least_side - width), 0,
                                            std::max<int64_t>(0, least_side - height)};
        auto from = luma_bytes(at::replication_pad2d(target, margin));
        auto to = luma_bytes(at::replication_pad2d(source, margin));
        std::vector<torch::Tensor> flows;
        for (int64_t n = 0; n < from.size(0); ++n) {
            cv::Mat flow;
            method_()->calc(view(from, n), view(to, n),
                            flow);  // a method keeps buffers: one a call
            flows.push_back(to_tensor(flow));
        }
        return torch::stack(flows).slice(2, 0, height).slice(3, 0, width).to(target.device());
    }

    bool one_thread() const override { return true; }

  private:
    Method method_;
};

cv::Ptr<cv::DenseOpticalFlow> dis_medium() {
    return cv::DISOpticalFlow::create(cv::DISOpticalFlow::PRESET_MEDIUM);
}

cv::Ptr<cv::DenseOpticalFlow> dis_fine() {
    const auto method = cv::DISOpticalFlow::create(cv::DISOpticalFlow::PRESET_MEDIUM);
    method->setFinestScale(0);
    return method;
}

cv::Ptr<cv::DenseOpticalFlow> dis_fast() {
    return cv::DISOpticalFlow::create(cv::DISOpticalFlow::PRESET_FAST);
}

cv::Ptr<cv::DenseOpticalFlow> farneback() {
    constexpr int levels = 5;
    constexpr double level_scale = 0.5;
    return cv::FarnebackOpticalFlow::create(levels, level_scale);
}

}  // namespace

std::unique_ptr<FlowEstimator> make_dis_flow(const FlowEstimatorOptions& /*options*/) {
    return std::make_unique<ClassicFlow>(dis_medium);
}

std::unique_ptr<FlowEstimator> make_fine_dis_flow(const FlowEstimatorOptions& /*options*/) {
    return std::make_unique<ClassicFlow>(dis_fine);
}

std::unique_ptr<FlowEstimator> make_fast_dis_flow(const FlowEstimatorOptions& /*options*/) {
    return std::make_unique<ClassicFlow>(dis_fast);
}

std::unique_ptr<FlowEstimator> make_farneback_flow(const FlowEstimatorOptions& /*options*/) {
    return std::make_unique<ClassicFlow>(farneback);
}

}  // namespace weft
