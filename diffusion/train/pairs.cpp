#include "diffusion/train/pairs.h"

#include <c10/util/Exception.h>

#include <algorithm>

#include "diffusion/train/edits.h"
#include "diffusion/train/scenes.h"
#include "diffusion/train/words.h"

namespace weft {
namespace {

// Purposes of the dice of a pair.
enum : uint64_t { k_scene = 11, k_choice, k_picture };

/// What one pair is made of, before a px is drawn.
struct PairPlan {
    Scene source;
    Scene target;
    bool has_source = true;
    bool same_scene = true;             // target is the source, perhaps with a style
    const StyleEntry* style = nullptr;  // of the target
    std::string text;
};

PairPlan generation_plan(uint64_t seed, double aspect, const PairOptions& options, Dice& dice) {
    PairPlan plan;
    plan.has_source = false;
    if (dice.chance(options.simple)) {
        plan.target = simple_scene(seed, aspect);
    } else {
        plan.target = random_scene(seed, aspect);
        // What has few words is rare here, and all is seen whole and in good light.
        for (uint64_t k = 1; plan.target.place >= Place::leaves && dice.chance(0.75); ++k) {
            plan.target = random_scene(seed + k * 0x51ed27ULL, aspect);
        }
        plan.target.zoom = 1;
        plan.target.shift_x = plan.target.shift_y = 0;
        plan.target.lens = {};
    }
    plan.text = caption(plan.target);
    if (dice.chance(options.styled)) {
        plan.style = &random_style(dice);
        plan.text += ", " + random_name(*plan.style, dice);
    } else if (dice.chance(0.1)) {
        plan.text = "a picture of " + plan.text;
    }
    if (dice.chance(options.empty)) {
        plan.text.clear();
    }
    plan.source = plan.target;
    return plan;
}

PairPlan plan_pair(uint64_t seed, double aspect, const PairOptions& options) {
    Dice dice(seed, k_choice);
    const uint64_t scene_seed = Dice(seed, k_scene).next();
    const double kind = dice.uniform();
    if (kind < options.generation) {
        return generation_plan(scene_seed, aspect, options, dice);
    }
    PairPlan plan;
    if (kind < options.generation + options.scene_edit) {
        auto edit = random_edit(scene_seed, aspect);
        plan.source = edit.before;
        plan.target = edit.after;
        plan.same_scene = false;
        plan.text = edit.text;
        return plan;
    }
    plan.source = plan.target = random_scene(scene_seed, aspect);
    if (kind >= options.generation + options.scene_edit + options.identity) {
        plan.style = &random_style(dice);
        plan.text = style_instruction(*plan.style, dice);
    }
    return plan;
}

/// Applies the styles to the pictures that have one, those of the same style together.
void apply_styles(torch::Tensor& pictures, const std::vector<const StyleEntry*>& chosen) {
    for (const auto& entry : styles()) {
        std::vector<int64_t> indices;
        for (size_t i = 0; i < chosen.size(); ++i) {
            if (chosen[i] == &entry) {
                indices.push_back(static_cast<int64_t>(i));
            }
        }
        if (!indices.empty()) {
            const auto rows = torch::tensor(indices, torch::kInt64).to(pictures.device());
            pictures.index_copy_(0, rows, entry.apply(pictures.index_select(0, rows)).clamp(0, 1));
        }
    }
}

uint64_t seed_of(uint64_t seed, int64_t index, uint64_t purpose) {
    return Dice(seed ^ (static_cast<uint64_t>(index) * 0xa0761d6478bd642fULL), purpose).next();
}

/// Texts that hold every word: kinds, colours, places, styles, templates, changes.
std::vector<std::string> every_word() {
    std::vector<std::string> texts;
    for (const auto& entry : styles()) {
        texts.push_back(entry.name);
        texts.insert(texts.end(), entry.aliases.begin(), entry.aliases.end());
    }
    for (const auto& pattern : style_templates()) {
        texts.push_back(filled(pattern, "neon"));
    }
    for (uint64_t seed = 0; seed < 600; ++seed) {
        texts.push_back(caption(random_scene(seed, 1.0)));
        texts.push_back(random_edit(seed, 1.0).text);
    }
    for (const auto& colour : colours()) {
        for (size_t kind = 0; kind < k_named_kinds; ++kind) {
            texts.push_back("a picture of a " + colour.name + " " + kind_names()[kind]);
        }
    }
    return texts;
}

/// Targets before styles: the source as the camera saw it, or the clean scene where a style or a
/// caption asks for one, or the other scene of an edit (behind the sources in `clean` and `shot`).
torch::Tensor unstyled_targets(const std::vector<PairPlan>& plans, const torch::Tensor& clean,
                               const torch::Tensor& shot) {
    std::vector<torch::Tensor> targets;
    auto other = static_cast<int64_t>(plans.size());
    for (size_t i = 0; i < plans.size(); ++i) {
        const auto& plan = plans[i];
        const auto row = plan.same_scene ? static_cast<int64_t>(i) : other++;
        const bool filtered = plan.style != nullptr || !plan.has_source;
        targets.push_back((filtered ? clean : shot)[row]);
    }
    return torch::stack(targets);
}

/// Draws all pairs in one go.
PairBatch draw_pairs(const std::vector<PairPlan>& plans, int64_t height, int64_t width,
                     const torch::Device& device) {
    PairBatch batch;
    std::vector<Scene> scenes;
    std::vector<const StyleEntry*> chosen;
    std::vector<uint8_t> has_source;
    for (const auto& plan : plans) {
        scenes.push_back(plan.source);
        chosen.push_back(plan.style);
        has_source.push_back(plan.has_source ? 1 : 0);
        batch.text.push_back(plan.text);
    }
    // The second scenes of edits follow the sources.
    for (const auto& plan : plans) {
        if (!plan.same_scene) {
            scenes.push_back(plan.target);
        }
    }
    const auto clean = draw_scenes(scenes, height, width, device);
    const auto shot = camera_noise(clean, scenes);
    batch.has_source = torch::tensor(has_source, torch::kUInt8).to(torch::kBool).to(device);
    const auto sources = shot.narrow(0, 0, static_cast<int64_t>(plans.size()));
    batch.source = sources * batch.has_source.view({-1, 1, 1, 1});
    batch.target = unstyled_targets(plans, clean, shot);
    apply_styles(batch.target, chosen);
    return batch;
}

/// Pictures that are drawn together: as many as stay in the caches of a CPU, all of them elsewhere.
int64_t pictures_at_once(int64_t height, int64_t width, const torch::Device& device) {
    constexpr int64_t k_px = 65536;
    return device.is_cpu() ? std::max<int64_t>(1, k_px / (height * width)) : 256;
}

}  // namespace

PairBatch make_pairs(const ListPart& part, int64_t height, int64_t width,
                     const torch::Device& device, const PairOptions& options) {
    TORCH_CHECK(part.count > 0 && height >= 16 && width >= 16, "make_pairs: ", part.count,
                " pairs of ", height, "x", width);
    const torch::NoGradGuard no_grad;
    const double aspect = static_cast<double>(width) / static_cast<double>(height);
    const int64_t step = pictures_at_once(height, width, device);
    PairBatch batch;
    std::vector<torch::Tensor> sources;
    std::vector<torch::Tensor> targets;
    std::vector<torch::Tensor> has_source;
    for (int64_t start = 0; start < part.count; start += step) {
        std::vector<PairPlan> plans;
        for (int64_t i = start; i < std::min(part.count, start + step); ++i) {
            plans.push_back(plan_pair(seed_of(part.seed, part.first + i, 1), aspect, options));
        }
        const auto drawn = draw_pairs(plans, height, width, device);
        sources.push_back(drawn.source);
        targets.push_back(drawn.target);
        has_source.push_back(drawn.has_source);
        batch.text.insert(batch.text.end(), drawn.text.begin(), drawn.text.end());
    }
    batch.source = torch::cat(sources);
    batch.target = torch::cat(targets);
    batch.has_source = torch::cat(has_source);
    return batch;
}

torch::Tensor make_scenes(const ListPart& part, int64_t height, int64_t width,
                          const torch::Device& device) {
    const torch::NoGradGuard no_grad;
    const double aspect = static_cast<double>(width) / static_cast<double>(height);
    const int64_t step = pictures_at_once(height, width, device);
    std::vector<torch::Tensor> parts;
    for (int64_t start = 0; start < part.count; start += step) {
        std::vector<Scene> scenes;
        std::vector<const StyleEntry*> chosen;
        for (int64_t i = start; i < std::min(part.count, start + step); ++i) {
            const auto picture_seed = seed_of(part.seed, part.first + i, k_picture);
            Dice dice(picture_seed, k_choice);
            scenes.push_back(random_scene(picture_seed, aspect));
            chosen.push_back(dice.chance(1.0 / 3) ? &random_style(dice) : nullptr);
        }
        parts.push_back(camera_noise(draw_scenes(scenes, height, width, device), scenes));
        apply_styles(parts.back(), chosen);
    }
    return torch::cat(parts);
}

std::vector<std::string> sample_captions(uint64_t seed, int64_t count) {
    auto texts = every_word();
    for (int64_t i = 0; i < count; ++i) {
        texts.push_back(plan_pair(seed_of(seed, i, 1), 1.0, {}).text);
    }
    return texts;
}

}  // namespace weft
