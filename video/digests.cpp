#include "video/digests.h"

#include <ATen/Version.h>
#include <c10/util/StringUtil.h>

#include <algorithm>
#include <vector>

#include "io/media/segments.h"
#include "video/analysis_store.h"
#include "video/plan_file.h"

namespace weft {
namespace {

namespace fs = std::filesystem;

/// Key of a file's bytes, or of all files in a folder with their names.
std::string key_of(const fs::path& path) {
    std::error_code ignored;
    if (!fs::is_directory(path, ignored)) {
        return content_key(path, "file");
    }
    std::vector<fs::path> files;
    for (const auto& entry : fs::recursive_directory_iterator(path)) {
        if (entry.is_regular_file()) {
            files.push_back(entry.path());
        }
    }
    std::sort(files.begin(), files.end());
    std::string text;
    for (const auto& file : files) {
        text += c10::str(fs::relative(file, path).string(), " ", content_key(file, "file"), "\n");
    }
    return content_key({}, text);
}

/// What is added to the model, by content.
std::string additions(const Plan& plan) {
    const auto options = model_options(plan);
    std::string text;
    for (const auto& lora : options.loras) {
        text += c10::str("lora ", key_of(lora.file), " ", lora.weight);
        for (const auto& [part, weight] : lora.parts) {
            text += c10::str(" ", part, "=", weight);
        }
        text += "\n";
    }
    for (const auto& words : options.embeddings) {
        text += c10::str("embedding ", key_of(words.path), " ", words.token, "\n");
    }
    if (!plan.mask.empty()) {
        text += "mask " + source_key(plan.mask, "") + "\n";
    }
    return options.vae.empty() ? text : text + "vae " + key_of(options.vae) + "\n";
}

/// The plan without what counts by content, and without what the segments' own digests hold.
std::string plan_text(Plan plan) {
    plan.model.clear();
    plan.vae.clear();
    plan.mask.clear();
    plan.ocio.clear();
    plan.lora.clear();
    plan.embedding.clear();
    plan.to.clear();
    plan.segment_frames.reset();
    plan.key_every.reset();
    return to_toml(plan);
}

const std::string& program_key() {
    static const std::string key = content_key("/proc/self/exe", "program");
    return key;
}

/// Of what all segments share.
std::string common_digest(const Job& job, const ClipWork& work, const DigestInputs& inputs) {
    const auto& placement = inputs.placement;
    return content_key(
        {},
        c10::str("segment 1\n", program_key(), " ", at::get_cpu_capability(), "\n",
                 plan_text(job.plan), job.batch, "\n", source_key(work.source.path, ""), " ",
                 static_cast<int>(work.source.reading.damage), "\n", key_of(inputs.model), "\n",
                 additions(job.plan), job.map ? job.map->key() : "", "\n",
                 describe_stream(inputs.out, inputs.info, inputs.writing), "\n",
                 placement.device.is_cuda() ? "cuda" : "cpu", " ", c10::toString(placement.dtype)));
}

std::string digest_of(const std::string& common, const ClipWork& work, const Segment& segment) {
    std::string text = c10::str(common, " ", segment.anchor, "\n");
    const auto& list = work.analysis->list();
    const auto add = [&](int64_t place) {
        const ClipFrame& frame = list[static_cast<size_t>(place)];
        text += c10::str(frame.index, " ", frame.time.num(), "/", frame.time.den(), " ",
                         frame.duration.num(), "/", frame.duration.den(), "\n");
    };
    add(segment.anchor);
    for (const int64_t key : segment.keys) {
        add(key);
    }
    text += "frames\n";
    for (int64_t place = segment.first; place < segment.end; ++place) {
        add(place);
    }
    return content_key({}, text);
}

}  // namespace

std::vector<std::string> segment_digests(const Job& job, const ClipWork& work,
                                         const DigestInputs& inputs) {
    const auto common = common_digest(job, work, inputs);
    std::vector<std::string> digests;
    for (const Segment& segment : work.board.segments) {
        digests.push_back(digest_of(common, work, segment));
    }
    return digests;
}

std::string digest_of_all(const std::vector<std::string>& digests) {
    return content_key({}, c10::Join(" ", digests));
}

}  // namespace weft
