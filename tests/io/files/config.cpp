#include "io/files/config.h"

#include <catch2/catch.hpp>

#include "tests/io/files/scratch.h"

namespace weft {

namespace {

const char* const sample = R"({
  "channels": 320, "share": 0.25, "whole": 8.0, "on": true, "name": "größe \u00e9", "nothing": null,
  "sizes": [1, 2, 3], "reals": [0, 0.5], "words": ["a", "b"], "mixed": [1, "b"],
  "inner": {"depth": 2, "deeper": {"x": 1}}, "huge": 1e30, "big": 18446744073709551615
})";

Config config() {
    return Config::parse(sample, "config.json");
}

std::string nested(int levels) {
    std::string text = R"({"a":)";
    text.append(static_cast<size_t>(levels - 1), '[');
    text.append(static_cast<size_t>(levels - 1), ']');
    return text + "}";
}

}  // namespace

TEST_CASE("a config hands out its values") {
    const Config c = config();
    CHECK(c.integer("channels", {1, 1000}) == 320);
    CHECK(c.integer("whole", {}) == 8);
    CHECK(c.number("share", {0, 1}) == 0.25);
    CHECK(c.number("channels", {}) == 320.0);
    CHECK(c.flag("on"));
    CHECK(c.text("name") == "größe é");
    CHECK(c.integers("sizes", {}) == std::vector<int64_t>({1, 2, 3}));
    CHECK(c.integers("channels", {}, 3) == std::vector<int64_t>({320, 320, 320}));
    CHECK(c.numbers("reals", {}) == std::vector<double>({0, 0.5}));
    CHECK(c.texts("words") == std::vector<std::string>({"a", "b"}));
    CHECK(c.where() == "config.json");
    CHECK((c.is_list("sizes") && !c.is_list("name") && !c.is_list("missing")));
    CHECK((c.is_text("name") && !c.is_text("sizes")));
}

TEST_CASE("missing and null keys take the default") {
    const Config c = config();
    CHECK(!c.has("missing"));
    CHECK(!c.has("nothing"));
    CHECK(c.integer("nothing", {}, 7) == 7);
    CHECK(c.number("missing", {}, 0.5) == 0.5);
    CHECK(c.flag("missing", true));
    CHECK(c.text("missing", "x") == "x");
    CHECK(Config().keys().empty());
    CHECK(c.object("missing").keys().empty());
}

TEST_CASE("infinities, as Python writes them, count as not given") {
    const Config c = Config::parse(
        R"({"lambda_min_clipped": -Infinity, "most": Infinity, "t": "Infinity \" -Infinity"})", "");
    CHECK(!c.has("lambda_min_clipped"));
    CHECK(!c.has("most"));
    CHECK(c.text("t") == "Infinity \" -Infinity");
}

TEST_CASE("keys come in file order and nested objects share the tree") {
    CHECK(Config::parse(R"({"z":1,"a":2,"m":3})", "").keys() ==
          std::vector<std::string>({"z", "a", "m"}));
    Config inner;
    { inner = config().object("inner"); }
    CHECK(inner.integer("depth", {}) == 2);
    CHECK(inner.object("deeper").integer("x", {}) == 1);
    CHECK(error_of([&] { inner.object("deeper").integer("y", {}); }) ==
          "'config.json': has no 'inner.deeper.y'; the file is incomplete or of another kind of "
          "model");
}

TEST_CASE("what does not fit is an Error that names file and key") {
    struct Case {
        void (*read)(const Config&);
        std::string text;
    };

    const std::vector<Case> cases{
        {[](const Config& c) { c.integer("missing", {}); }, "has no 'missing'"},
        {[](const Config& c) { c.text("nothing"); }, "has no 'nothing'"},
        {[](const Config& c) {
             c.integer("channels", {1, 64});
         },
         "'channels' is 320, expected 1 to 64"},
        {[](const Config& c) {
             c.number("share", {1, 2});
         },
         "'share' is 0.25, expected 1 to 2"},
        {[](const Config& c) { c.integer("share", {}); },
         "'share' is 0.25, expected a whole number"},
        {[](const Config& c) {
             c.integer("huge", {0, 1e40});
         },
         "expected a whole number"},
        {[](const Config& c) { c.integer("big", {}); },
         "'big' is 1.84467e+19, expected 0 to 1e+09"},
        {[](const Config& c) { c.integer("name", {}); }, "'name' is a text, expected a number"},
        {[](const Config& c) { c.number("on", {}); }, "'on' is true or false, expected a number"},
        {[](const Config& c) { c.flag("channels"); },
         "'channels' is a number, expected true or false"},
        {[](const Config& c) { c.text("sizes"); }, "'sizes' is a list, expected a text"},
        {[](const Config& c) {
             c.integers("sizes", {0, 2});
         },
         "'sizes' is 3, expected 0 to 2"},
        {[](const Config& c) { c.integers("name", {}); }, "'name' is a text, expected a number"},
        {[](const Config& c) { c.integers("missing", {}); }, "has no 'missing'"},
        {[](const Config& c) { c.numbers("share", {}); }, "'share' is a number, expected a list"},
        {[](const Config& c) { c.texts("mixed"); },
         "'mixed' is a number, expected a list of texts"},
        {[](const Config& c) { c.object("name"); }, "'name' is a text, expected an object"},
    };
    const Config c = config();
    for (const Case& one : cases) {
        const std::string text = error_of([&] { one.read(c); });
        INFO(text << " should say " << one.text);
        CHECK(text.starts_with("'config.json': "));
        CHECK(text.find(one.text) != std::string::npos);
    }
}

TEST_CASE("broken JSON is refused with its place") {
    struct Case {
        std::string json;
        std::string text;
    };

    const std::vector<Case> cases{
        {"", "broken JSON at line 1"},
        {"{", "broken JSON at line 1"},
        {"{\"a\": 1,\n \"b\" 2}", "broken JSON at line 2, column 6"},
        {"{\"a\": NaN}", "broken JSON"},
        {"{\"a\": --Infinity}", "broken JSON"},
        {"{\"a\": 1e999}", "broken JSON"},
        {"{\"a\": 01}", "broken JSON"},
        {"{\"a\": 1} x", "broken JSON"},
        {"{\"a\": 1,}", "broken JSON"},
        {"{'a': 1}", "broken JSON"},
        {"// note\n{}", "broken JSON"},
        {"[1]", "holds a list where a JSON object"},
        {"7", "holds a number where a JSON object"},
        {"{\"a\": \"\xff\"}", "invalid UTF-8"},
        {"{\"a\": \"\xed\xa0\x80\"}", "invalid UTF-8"},
        {std::string("{\"a\": \"\0\"}", 10), "broken JSON"},
        {R"({"a": 1, "b": 2, "a": 3})", "the name 'a' is given twice"},
        {R"({"x": {"a": 1, "a": 1}})", "the name 'a' is given twice"},
        {nested(65), "nested deeper than 64 levels"},
        {nested(100000), "nested deeper than 64 levels"},
    };
    for (const Case& one : cases) {
        const std::string text = error_of([&] { Config::parse(one.json, "f.json"); });
        INFO(one.json.substr(0, 40) << " gives " << text << ", should say " << one.text);
        CHECK(text.starts_with("'f.json': "));
        CHECK(text.find(one.text) != std::string::npos);
    }
    CHECK(Config::parse(nested(64), "f.json").is_list("a"));
}

TEST_CASE("a flood of values is refused before it fills the memory") {
    std::string text = R"({"a":[0)";
    for (int i = 0; i < 1'100'000; ++i) {
        text += ",0";
    }
    CHECK(error_of([&] {
              Config::parse(text + "]}", "f.json");
          }).find("more than 1048576 values") != std::string::npos);
}

TEST_CASE("config files have a size limit and must be files") {
    const Scratch scratch;
    const auto path = scratch.write("c.json", R"({"a": 1})");
    CHECK(Config::read(path).integer("a", {}) == 1);
    CHECK(error_of([&] { Config::read(path, 4); }).find("has 8 bytes, more than the 4") !=
          std::string::npos);
    CHECK(error_of([&] { Config::read(scratch / "none.json"); }).find("no such file") !=
          std::string::npos);
    CHECK(error_of([&] { Config::read(scratch.folder()); }).find("is a folder") !=
          std::string::npos);
}

}  // namespace weft
