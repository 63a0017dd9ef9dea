#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "io/files/config.h"
#include "video/curve.h"

namespace weft {

/// A whole edit as data, as far as a user said it: what is not set takes its default in resolve().
/// The same fields are TOML keys and command line options (plan_fields()). A value.
struct Plan {
    std::string model;
    std::vector<std::string> lora;  // each as parse_plan_lora() reads it
    std::string lora_mode;
    std::vector<std::string> embedding;  // FILE[:TOKEN] or a folder each
    std::optional<int64_t> clip_skip;
    std::string prediction;
    std::string vae;
    Curve<std::string> prompt;
    std::string negative;
    std::string mask;
    std::optional<double> mask_feather;
    Curve<double> strength;
    std::optional<double> guidance;
    std::optional<double> image_guidance;
    std::optional<double> guidance_rescale;
    std::string guidance_interval;
    std::optional<int64_t> steps;
    std::optional<int64_t> cache_every;
    std::optional<double> merge_tokens;
    std::string sampler;
    std::string spacing;
    std::optional<double> eta;
    std::optional<int64_t> seed;
    std::string rng;
    std::string noise;
    std::optional<double> noise_share;
    std::string size;
    std::string ocio;
    std::string colorspace;
    std::string mode;
    std::optional<int64_t> key_every;  // not set: by the motion
    std::optional<double> shape_fusion;
    std::optional<double> pixel_fusion;
    std::optional<double> anchor_style;
    std::optional<double> plug_and_play;
    std::string source_prompt;
    std::optional<double> detail;
    std::string from;
    std::string to;
    std::string codec;
    std::optional<double> crf;
    std::string preset;
    std::string encoder_opts;
    std::string container;
    std::string fps;
    std::optional<int64_t> segment_frames;

    friend bool operator==(const Plan&, const Plan&) = default;
};

/// A size in pixels.
struct Size {
    int64_t width = 0;
    int64_t height = 0;
    friend bool operator==(const Size&, const Size&) = default;
};

/// Reads "512x288"; nullopt for anything else or for sides outside [16, 8192].
std::optional<Size> parse_size(const std::string& text);

/// What a field can hold.
using PlanValue = std::variant<std::string, double, int64_t, Curve<std::string>, Curve<double>,
                               std::vector<std::string>>;

/// One field of Plan: its name, meaning and limits. Reading, writing, checking and the command
/// line's options and help are all made from this table, so they cannot drift apart.
struct PlanField {
    using Member = std::variant<std::string Plan::*, std::optional<double> Plan::*,
                                std::optional<int64_t> Plan::*, Curve<std::string> Plan::*,
                                Curve<double> Plan::*, std::vector<std::string> Plan::*>;
    const char* key;    // TOML key; the option is the same with '-' for '_'
    const char* group;  // heading in the help; those that end in ", rare" are for --help-all
    const char* value;  // what stands for the value in the help: "N", "TEXT", "WxH"
    std::string help;   // one line with range and default
    Member member;
    Range range{};  // numbers
    /// Texts, also each of a list: what is wrong with one, with the allowed values; empty where
    /// nothing is. Null: any text.
    std::string (*problem)(const std::string& text) = nullptr;
};

/// All fields, in the order of help texts and saved plans. To add one: a member of Plan and an
/// entry in plan_fields.cpp.
std::span<const PlanField> plan_fields();

/// Sets a field.
/// @return what is wrong with the value (type, range, unknown name); empty where nothing is
std::string assign(const PlanField& field, Plan& plan, const PlanValue& value);

/// Sets a field from text as on the command line; lists grow by it.
/// @return as assign
std::string assign_text(const PlanField& field, Plan& plan, const std::string& text);

/// The field's value, nullopt where it is not set.
std::optional<PlanValue> value_of(const PlanField& field, const Plan& plan);

/// Every field that is set in `over` replaces the one in `plan`.
void overlay(Plan& plan, const Plan& over);

/// Something wrong with a plan or an option, in one line: "plan.toml:3: strength: must be ...".
using Problems = std::vector<std::string>;

/// Throws one UsageError that lists all problems, one a line; does nothing where there are none.
void throw_problems(const Problems& problems);

}  // namespace weft
