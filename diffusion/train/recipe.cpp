#include "diffusion/train/recipe.h"

#define TOML_EXCEPTIONS 1
#include <c10/util/StringUtil.h>
#include <toml++/toml.h>

#include <optional>
#include <set>
#include <type_traits>

#include "io/files/error.h"

namespace weft {
namespace {

using Problems = std::vector<std::string>;

std::string line_of(const toml::node& node) {
    return c10::str("line ", node.source().begin.line, ": ");
}

/// Reads known keys of one table and reports the rest.
class TableReader {
  public:
    TableReader(const toml::table& table, std::string name, Problems& problems)
        : table_(table), name_(std::move(name)), problems_(problems) {}

    template <class T>
    void read(const std::string& key, T& value, double low, double high) {
        known_.insert(key);
        const toml::node* node = table_.get(key);
        if (node == nullptr) {
            return;
        }
        const std::optional<double> number = as_number(*node, std::is_integral_v<T>);
        if (!number || *number < low || *number > high) {
            problems_.push_back(c10::str(line_of(*node), name_, ".", key, " must be ",
                                         std::is_integral_v<T> ? "a whole number" : "a number",
                                         " from ", low, " to ", high));
            return;
        }
        value = static_cast<T>(*number);
    }

    void read(const std::string& key, std::string& value) {
        known_.insert(key);
        const toml::node* node = table_.get(key);
        if (node == nullptr) {
            return;
        }
        if (const auto text = node->value<std::string>()) {
            value = *text;
        } else {
            problems_.push_back(c10::str(line_of(*node), name_, ".", key, " must be a text"));
        }
    }

    void read(const std::string& key, std::vector<int64_t>& values, double low, double high) {
        known_.insert(key);
        const toml::node* node = table_.get(key);
        if (node == nullptr) {
            return;
        }
        values.clear();
        if (const toml::array* list = node->as_array()) {
            for (const toml::node& item : *list) {
                values.push_back(item.value<int64_t>().value_or(-1));
            }
        }
        for (const int64_t value : values) {
            if (static_cast<double>(value) < low || static_cast<double>(value) > high) {
                values.clear();
                break;
            }
        }
        if (values.empty()) {
            problems_.push_back(c10::str(line_of(*node), name_, ".", key,
                                         " must be a list of whole numbers from ", low, " to ",
                                         high));
        }
    }

    /// A nested table, or null.
    const toml::table* table(const std::string& key) {
        known_.insert(key);
        return table_.get_as<toml::table>(key);
    }

    const toml::array* list(const std::string& key) {
        known_.insert(key);
        return table_.get_as<toml::array>(key);
    }

    void report_unknown() const {
        for (const auto& [key, node] : table_) {
            if (!known_.contains(std::string(key.str()))) {
                problems_.push_back(c10::str(line_of(node), "unknown key ", name_, ".", key.str()));
            }
        }
    }

  private:
    static std::optional<double> as_number(const toml::node& node, bool whole) {
        if (const auto integer = node.as_integer()) {
            return static_cast<double>(integer->get());
        }
        if (const auto number = node.as_floating_point(); number != nullptr && !whole) {
            return number->get();
        }
        return std::nullopt;
    }

    const toml::table& table_;
    std::string name_;
    Problems& problems_;
    std::set<std::string> known_;
};

void read_bucket(const toml::table& table, const std::string& name, Bucket& bucket,
                 Problems& problems) {
    TableReader reader(table, name, problems);
    reader.read("height", bucket.height, 16, 2048);
    reader.read("width", bucket.width, 16, 2048);
    reader.read("crop", bucket.crop, 0, 2048);
    reader.read("batch", bucket.batch, 1, 4096);
    reader.read("views", bucket.views, 1, 4096);
    reader.read("share", bucket.share, 0, 1000);
    reader.read("generation", bucket.generation, 0, 1);
    reader.report_unknown();
    if (bucket.batch % bucket.views != 0) {
        problems.push_back(c10::str(name, ".batch must be a multiple of views"));
    }
    if (bucket.crop > std::min(bucket.height, bucket.width)) {
        problems.push_back(c10::str(name, ".crop is larger than the picture"));
    }
}

void read_stage_values(TableReader& reader, const std::string& name, StageRecipe& stage,
                       Problems& problems) {
    reader.read("steps", stage.steps, 1, 1e8);
    reader.read("minutes", stage.minutes, 0, 1e5);
    reader.read("learning_rate", stage.learning_rate, 1e-7, 1);
    reader.read("warmup", stage.warmup, 0, 1e6);
    reader.read("weight_decay", stage.weight_decay, 0, 1);
    reader.read("clip_norm", stage.clip_norm, 1e-3, 1e6);
    reader.read("ema_decay", stage.ema_decay, 0, 1);
    reader.read("batch", stage.batch, 1, 4096);
    reader.read("crop", stage.crop, 16, 1024);
    reader.read("pool", stage.pool, 8, 1e6);
    reader.read("reuse", stage.reuse, 1, 1000);
    reader.read("timestep_power", stage.timestep_power, 0.01, 100);
    reader.read("terminal_share", stage.terminal_share, 0, 1);
    reader.read("checkpoint_minutes", stage.checkpoint_minutes, 0.01, 1e4);
    reader.read("sheet_minutes", stage.sheet_minutes, 0.01, 1e4);
    if (const toml::array* buckets = reader.list("buckets")) {
        stage.buckets.clear();
        for (size_t i = 0; i < buckets->size(); ++i) {
            if (const toml::table* item = (*buckets)[i].as_table()) {
                read_bucket(*item, c10::str(name, ".buckets[", i, "]"),
                            stage.buckets.emplace_back(), problems);
            }
        }
    }
}

void read_stage(const toml::table& table, const std::string& name, StageRecipe& stage,
                Problems& problems, const std::string& device) {
    TableReader reader(table, name, problems);
    read_stage_values(reader, name, stage, problems);
    const toml::table* overrides = reader.table(device);
    reader.table(device == "cpu" ? "gpu" : "cpu");
    if (overrides != nullptr) {
        const std::string place = name + "." + device;
        TableReader own(*overrides, place, problems);
        read_stage_values(own, place, stage, problems);
        own.report_unknown();
    }
    reader.report_unknown();
}

void read_shapes(TableReader& root, Recipe& recipe, Problems& problems) {
    if (const toml::table* table = root.table("text_encoder")) {
        TableReader reader(*table, "text_encoder", problems);
        reader.read("width", recipe.text.width, 8, 4096);
        reader.read("layers", recipe.text.layers, 1, 64);
        reader.read("heads", recipe.text.heads, 1, 64);
        reader.read("merges", recipe.text.merges, 0, 60000);
        reader.report_unknown();
    }
    if (const toml::table* table = root.table("autoencoder_shape")) {
        TableReader reader(*table, "autoencoder_shape", problems);
        AutoencoderShape& shape = recipe.autoencoder_shape;
        reader.read("patch", shape.patch, 2, 32);
        reader.read("latent_channels", shape.latent_channels, 1, 256);
        reader.read("hidden_channels", shape.hidden_channels, 8, 4096);
        reader.read("encoder_blocks", shape.encoder_blocks, 0, 64);
        reader.read("decoder_blocks", shape.decoder_blocks, 0, 64);
        reader.read("latent_noise", shape.latent_noise, 0, 1);
        reader.read("gradient_weight", shape.gradient_weight, 0, 10);
        reader.report_unknown();
    }
    if (const toml::table* table = root.table("unet_shape")) {
        TableReader reader(*table, "unet_shape", problems);
        reader.read("block_out_channels", recipe.unet_shape.block_out_channels, 8, 8192);
        reader.read("layers_per_block", recipe.unet_shape.layers_per_block, 1, 16);
        reader.read("attention_levels", recipe.unet_shape.attention_levels, 0, 8);
        reader.read("head_width", recipe.unet_shape.head_width, 1, 512);
        reader.report_unknown();
    }
}

void throw_problems(const std::filesystem::path& path, const Problems& problems) {
    if (!problems.empty()) {
        throw UsageError(path.string(), c10::Join("; ", problems), "correct the recipe");
    }
}

}  // namespace

Recipe read_recipe(const std::filesystem::path& path, bool on_gpu) {
    if (!std::filesystem::is_regular_file(path)) {
        throw Error(path.string(), "no such recipe", "give the path of a TOML file");
    }
    toml::table root;
    try {
        root = toml::parse_file(path.string());
    } catch (const toml::parse_error& error) {
        throw UsageError(path.string(), c10::str("line ", error.source().begin.line, ": ",
                                                 std::string(error.description())));
    }
    Recipe recipe;
    recipe.autoencoder.learning_rate = 1e-3;
    Problems problems;
    TableReader reader(root, "recipe", problems);
    int64_t schema = 1;
    reader.read("schema", schema, 1, 1);
    reader.read("name", recipe.name);
    reader.read("seed", recipe.seed, 0, 9e15);
    reader.read("recommended_steps", recipe.steps, 1, 1000);
    reader.read("recommended_guidance", recipe.guidance, 0, 50);
    reader.read("recommended_generation_steps", recipe.generation_steps, 1, 1000);
    reader.read("recommended_generation_guidance", recipe.generation_guidance, 0, 50);
    reader.read("native_size", recipe.native_size, 16, 4096);
    reader.read("edit_size", recipe.edit_size, 16, 4096);
    read_shapes(reader, recipe, problems);
    const std::string device = on_gpu ? "gpu" : "cpu";
    if (const toml::table* table = reader.table("autoencoder")) {
        read_stage(*table, "autoencoder", recipe.autoencoder, problems, device);
    }
    if (const toml::table* table = reader.table("unet")) {
        read_stage(*table, "unet", recipe.unet, problems, device);
    }
    reader.report_unknown();
    if (recipe.unet.buckets.empty()) {
        recipe.unet.buckets.emplace_back();
    }
    throw_problems(path, problems);
    return recipe;
}

}  // namespace weft
