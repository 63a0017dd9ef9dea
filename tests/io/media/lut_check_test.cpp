#include "io/media/lut_check.h"

#include <catch2/catch.hpp>
#include <fstream>

#include "io/files/error.h"
#include "tests/io/media/clips.h"

namespace weft {
namespace {

std::string lines(int count, const std::string& line) {
    std::string text;
    for (int i = 0; i < count; ++i) text += line + "\n";
    return text;
}

std::string spi3d(const std::string& sizes, int side, const std::string& more = {}) {
    std::string text = "SPILUT 1.0\n3 3\n" + sizes + "\n";
    for (int i = 0; i < side * side * side; ++i)
        text += std::to_string(i / side / side) + " " + std::to_string(i / side % side) + " " +
                std::to_string(i % side) + " 0.1 0.2 0.3\n";
    return text + more;
}

}  // namespace

TEST_CASE("tables that say what they hold pass") {
    const std::string cube = "TITLE \"a b\"\n# note\nDOMAIN_MIN 0 0 0\r\nLUT_3D_SIZE 2\n\n";
    CHECK(lut_problem(cube + lines(8, "0 0.5 1e-3"), "cube").empty());
    CHECK(lut_problem("LUT_1D_SIZE 2\nLUT_3D_SIZE 2\n" + lines(10, "0 0 -1.5"), "cube").empty());
    CHECK(lut_problem("Version 1\nFrom 0 1\nLength 3\nComponents 1\n{\n 0\n .5\n 1\n}\n", "spi1d")
              .empty());
    CHECK(lut_problem(spi3d("2 2 2", 2), "spi3d").empty());
    CHECK(lut_problem("1 0 0 0\n0 1 0 0\n0 0 1 0\n", "spimtx").empty());
    CHECK(lut_problem("<?xml version=\"1.0\"?>\n<ProcessList><LUT3D><Array dim=\"2 2 2 3\">"
                      "</Array></LUT3D></ProcessList>",
                      "clf")
              .empty());
}

TEST_CASE("tables whose size is absurd or not what they hold are refused") {
    struct Row {
        const char* ending;
        std::string text;
    };

    const std::string head = "Version 1\nFrom 0 1\n";
    const std::vector<Row> rows = {
        {"cube", ""},
        {"cube", "0 0 0\n"},
        {"cube", "LUT_3D_SIZE 130\n"},
        {"cube", "LUT_3D_SIZE 1\n0 0 0\n"},
        {"cube", "LUT_3D_SIZE -2\n"},
        {"cube", "LUT_3D_SIZE 99999999999999999999\n"},
        {"cube", "LUT_3D_SIZE 2\nLUT_3D_SIZE 2\n" + lines(8, "0 0 0")},
        {"cube", "LUT_3D_SIZE 2\n" + lines(7, "0 0 0")},
        {"cube", "LUT_3D_SIZE 2\n" + lines(9, "0 0 0")},
        {"cube", "LUT_3D_SIZE 2\n" + lines(8, "0 0")},
        {"cube", "LUT_3D_SIZE 2\n" + lines(8, "0 0 x")},
        {"cube", "LUT_1D_SIZE 65537\n"},
        {"cube", std::string(5000, ' ') + "LUT_1D_SIZE 2\n"},
        {"cube", std::string("LUT_1D_SIZE 2\n0 0 0\n0 0 0\0\n", 27)},
        {"spi1d", head + "Length 4000000000\nComponents 3\n{\n}\n"},
        {"spi1d", head + "Length 2\nComponents 4\n{\n0 0 0 0\n0 0 0 0\n}\n"},
        {"spi1d", head + "Length 2\nLength 3\nComponents 1\n{\n0\n0\n}\n"},
        {"spi1d", head + "Length 3\nComponents 1\n{\n0\n0\n}\n"},
        {"spi1d", head + "Length 2\nComponents 1\n{\n0\n0\n"},
        {"spi1d", head + "Length 2\nComponents 1\n{\n0\n0\n}\nmore\n"},
        {"spi1d", "Length\n"},
        {"spi3d", spi3d("2 2 3", 2)},
        {"spi3d", spi3d("4000 4000 4000", 2)},
        {"spi3d", spi3d("2 2 2", 2, "1 1 1 0 0 0\n")},
        {"spi3d", "SPILUT 1.0\n3 3\n2 2 2\n" + lines(8, "2 0 0 0 0 0")},
        {"spi3d", "SPILUT 1.0\n3 3\n2 2 2\n" + lines(8, "-1 0 0 0 0 0")},
        {"spi3d", "SPILUT 1.0\n"},
        {"spimtx", "1 2 3\n"},
        {"clf", "SPILUT 1.0\n"},
        {"clf", "<a>\nLength 4000000000\n</a>"},
        {"clf", "<Array dim=\"4000 4000 4000 3\"/>"},
        {"clf", "<Array dim = '-1 3'/>"},
        {"clf", "<Array dim=\"2 2"},
        {"clf", "<Array dim=\"2 0\n2\"/>"},
        {"clf", "<!DOCTYPE a [<!ENTITY b \"cc\">]><a>&b;</a>"},
        {"exe", "MZ"},
        {"", "x"},
    };
    for (const Row& row : rows) {
        INFO(row.ending << ": " << row.text.substr(0, 60));
        const std::string problem = lut_problem(row.text, row.ending);
        CHECK_FALSE(problem.empty());
        CHECK(problem.find('\n') == std::string::npos);
    }
}

TEST_CASE("files are refused by name where they are no table") {
    CHECK_THROWS_AS(check_lut(test::scratch() / "none.cube"), Error);
    CHECK_THROWS_AS(check_lut(test::scratch()), Error);
    CHECK_THROWS_AS(check_lut("/dev/zero"), Error);
    const auto path = test::scratch() / "Upper.CUBE";
    std::ofstream(path) << "LUT_1D_SIZE 2\n0 0 0\n1 1 1\n";
    CHECK_NOTHROW(check_lut(path));
}

}  // namespace weft
