// Colour spaces of configurations. The numbers beside each name are the makers' own: test values of
// their papers, or their formulas written out here.
#include "io/media/color_config.h"

#include <ATen/Parallel.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <fstream>

#include "io/files/error.h"
#include "io/media/picture_map.h"
#include "tests/io/media/clips.h"

namespace weft {
namespace {

namespace fs = std::filesystem;

ColorConfig builtin() {
    return ColorConfig::open("builtin");
}

torch::Tensor color(double red, double green, double blue) {
    return torch::tensor({red, green, blue}, torch::kFloat32).view({3, 1, 1});
}

torch::Tensor gray(double value) {
    return color(value, value, value);
}

/// One colour through a pair of the built-in spaces.
std::vector<double> through(const std::string& from, const std::string& to,
                            const torch::Tensor& rgb) {
    const torch::Tensor result = builtin().transform(from, to)(rgb).to(torch::kFloat64).flatten();
    return {result.data_ptr<double>(), result.data_ptr<double>() + 3};
}

void check_near(const std::vector<double>& found, const std::vector<double>& expected,
                double margin) {
    for (size_t i = 0; i < 3; ++i) CHECK(found[i] == Approx(expected[i]).margin(margin));
}

/// Writes a small configuration: linear light, and "Table" that goes there through a LUT.
fs::path write_config(const std::string& table_name, const std::string& table) {
    const fs::path folder = test::scratch() / ("ocio-" + table_name);
    fs::create_directories(folder);
    std::ofstream(folder / table_name) << table;
    std::ofstream(folder / "config.ocio") << "ocio_profile_version: 1\nsearch_path: .\n"
                                             "roles:\n  scene_linear: Light\n  default: Light\n"
                                             "displays:\n  s:\n"
                                             "    - !<View> {name: v, colorspace: Light}\n"
                                             "colorspaces:\n"
                                             "  - !<ColorSpace>\n    name: Light\n"
                                             "  - !<ColorSpace>\n    name: Table\n"
                                             "    to_reference: !<FileTransform> {src: "
                                          << table_name << ", interpolation: linear}\n";
    return folder;
}

}  // namespace

TEST_CASE("linear spaces are the published matrices of each other") {
    // Academy S-2014-004, annex: AP1 red and blue in AP0.
    check_near(through("ACEScg", "ACES2065-1", color(1, 0, 0)),
               {0.6954522414, 0.0447945634, -0.0055258826}, 1e-6);
    check_near(through("ACEScg", "ACES2065-1", color(0, 0, 1)),
               {0.1638690622, 0.0955343182, 1.0015006723}, 1e-6);
    // The widely published AP1 to BT.709 matrix, adapted by Bradford.
    check_near(through("ACEScg", "Linear Rec.709", color(1, 0, 0)), {1.70505, -0.13026, -0.02400},
               2e-5);
    check_near(through("ACEScg", "Linear Rec.709", color(0, 1, 0)), {-0.62179, 1.14080, -0.12897},
               2e-5);
    // ITU-R BT.2087, section 2: BT.709 in BT.2020.
    check_near(through("Linear Rec.709", "Linear Rec.2020", color(1, 0, 0)),
               {0.6274, 0.0691, 0.0164}, 5e-5);
    check_near(through("Linear Rec.709", "Linear Rec.2020", color(0, 0, 1)),
               {0.0433, 0.0114, 0.8956}, 5e-5);
    for (const char* space : {"ACEScg", "Linear Rec.709", "Linear Rec.2020", "Linear P3-D65"})
        check_near(through(space, "ACES2065-1", gray(0.18)), {0.18, 0.18, 0.18}, 1e-6);
}

TEST_CASE("curves of cameras and displays have their published values") {
    const auto code = [](const char* space, double light) {
        return through("ACEScg", space, gray(light))[1];
    };
    CHECK(code("ARRI LogC3", 0.18) == Approx(0.391007).margin(2e-5));  // ARRI 2017, table 1
    CHECK(code("ARRI LogC3", 0) == Approx(0.092809).margin(2e-5));
    CHECK(code("ARRI LogC4", 0.18) == Approx(0.2784).margin(1e-4));  // ARRI 2022
    CHECK(code("ARRI LogC4", 0) == Approx(95.0 / 1023).margin(1e-5));
    CHECK(code("Sony S-Log3 S-Gamut3.Cine", 0.18) == Approx(420.0 / 1023).margin(1e-5));
    CHECK(code("Sony S-Log3 S-Gamut3", 0.9) == Approx(598.0 / 1023).margin(5e-4));
    CHECK(code("Sony S-Log3 S-Gamut3", 0) == Approx(95.0 / 1023).margin(1e-5));
    CHECK(code("Panasonic V-Log", 0.18) == Approx(0.42331).margin(2e-5));  // manual: 433/1023
    CHECK(code("Panasonic V-Log", 0) == Approx(0.125).margin(1e-5));
    CHECK(code("RED Log3G10", 0.18) == Approx(1.0 / 3).margin(1e-5));
    CHECK(code("Canon Log 3", 0) == Approx(0.12512).margin(1e-4));
    CHECK(code("Canon Log 3", 0.18) == Approx(0.343389).margin(2e-3));
    CHECK(code("ACEScct", 0.18) ==
          Approx(0.4135884).margin(1e-6));  // S-2016-001: (log2 + 9.72)/17.52
    CHECK(code("sRGB", 0.18) == Approx(1.055 * std::pow(0.18, 1 / 2.4) - 0.055).margin(1e-5));
    CHECK(code("sRGB", 0.002) == Approx(0.002 * 12.92).margin(1e-5));
    CHECK(code("Rec.709", 0.18) == Approx(std::pow(0.18, 1 / 2.4)).margin(1e-5));
    CHECK(code("Rec.2100-PQ", 1) == Approx(0.5807).margin(5e-4));  // BT.2408, table 1: 58 %, 75 %
    CHECK(code("Rec.2100-HLG", 1) == Approx(0.75).margin(2e-3));
}

TEST_CASE("what lies above white and below black survives the way there and back") {
    const torch::Tensor light = torch::tensor({-0.01, 0.0, 0.001, 0.18, 1.0, 4.0, 40.0})
                                    .to(torch::kFloat32)
                                    .view({1, 1, 7})
                                    .repeat({3, 1, 1});
    for (const ColorSpaceEntry& space : builtin().spaces()) {
        const bool table = space.name.rfind("Canon", 0) == 0;
        if (space.name == "Raw" || table || space.name.rfind("Rec.2100", 0) == 0)
            continue;
        INFO(space.name);
        const auto there = builtin().transform("ACEScg", space.name);
        const auto back = builtin().transform(space.name, "ACEScg");
        CHECK(((back(there(light)) - light).abs() / (light.abs() + 0.01)).max().item<double>() <
              1e-4);
    }
}

TEST_CASE("the result does not depend on the number of threads") {
    const torch::Tensor picture = torch::rand({3, 130, 70}) * 3;
    const auto transform = builtin().transform("ACEScg", "ARRI LogC3");
    const int before = at::get_num_threads();
    at::set_num_threads(1);
    const torch::Tensor one = transform(picture);
    at::set_num_threads(3);
    const torch::Tensor three = transform(picture);
    at::set_num_threads(before);
    CHECK(one.equal(three));
}

TEST_CASE("spaces go by name, alias and role; unknown ones are told with the nearest") {
    const ColorConfig config = builtin();
    CHECK(config.space("acescg") == "ACEScg");
    CHECK(config.space("logc3") == "ARRI LogC3");
    CHECK(config.space("scene_linear") == "ACEScg");
    CHECK(config.space("sRGB - Texture") == "sRGB");
    CHECK(config.display_space() == "sRGB");
    CHECK_THROWS_WITH(config.space("ACEScq"), Catch::Contains("near: ACEScg"));
    CHECK_THROWS_WITH(config.space("slog"), Catch::Contains("Sony S-Log3"));
    CHECK_THROWS_WITH(config.space("Raw"), Catch::Contains("no colours"));
    CHECK(colorspace_problem("ACEScg:sRGB:Rec.709").empty());
    CHECK(colorspace_problem("ACEScg::ACES2065-1").empty());
    for (const char* wrong : {"", ":sRGB", "a:b:", "a:b:c:d"})
        CHECK_FALSE(colorspace_problem(wrong).empty());
}

TEST_CASE("a configuration of one's own is read with its tables, broken ones are told") {
    const fs::path folder = write_config("half.cube", "LUT_1D_SIZE 2\n0 0 0\n0.5 0.5 0.5\n");
    const ColorConfig config = ColorConfig::open(folder.string());
    CHECK(config.transform("Table", "Light")(gray(0.5)).max().item<double>() ==
          Approx(0.25).margin(1e-6));
    CHECK_FALSE(config.tag_of("Light").has_value());
    CHECK_THROWS_WITH(config.display_space(), Catch::Contains("IN:MODEL"));

    const fs::path wide = write_config("wide.cube", "LUT_3D_SIZE 4000\n0 0 0\n");
    CHECK_THROWS_WITH(ColorConfig::open(wide.string()).transform("Table", "Light"),
                      Catch::Contains("wide.cube") && Catch::Contains("2 to 129"));
    const fs::path gone = write_config("gone.cube", "");
    fs::remove(gone / "gone.cube");
    CHECK_THROWS_AS(ColorConfig::open(gone.string()).transform("Table", "Light"), Error);

    CHECK_THROWS_AS(ColorConfig::open("/nowhere/config.ocio"), Error);
    const fs::path broken = test::scratch() / "broken.ocio";
    for (const std::string& text :
         {std::string("ocio_profile_version: 2\ncolorspaces: ["), std::string("hello"),
          std::string(), std::string("\0\1\2", 3), std::string(100'000, '['),
          std::string("ocio_profile_version: 99\n")}) {
        std::ofstream(broken, std::ios::binary) << text;
        CHECK_THROWS_AS(ColorConfig::open(broken.string()), Error);
    }
}

TEST_CASE("a transform's key tells what its table holds, not what it is called", "[color]") {
    const auto key = [](const std::string& name, const char* middle) {
        const std::string table = std::string("LUT_1D_SIZE 3\n0 0 0\n") + middle + "\n1 1 1\n";
        return ColorConfig::open(write_config(name, table).string())
            .transform_key("Table", "Light");
    };
    const auto first = key("one.cube", "0.25 0.25 0.25");
    CHECK_FALSE(first.empty());
    CHECK(key("same.cube", "0.25 0.25 0.25") == first);
    CHECK(key("other.cube", "0.25 0.25 0.26") != first);
}

}  // namespace weft
