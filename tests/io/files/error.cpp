#include "io/files/error.h"

#include <catch2/catch.hpp>

#include "io/files/text.h"

namespace weft {

TEST_CASE("an Error is thing, cause and way out in one line") {
    CHECK(std::string(Error("a.mp4", "no such file", "check the path").what()) ==
          "'a.mp4': no such file; check the path");
    CHECK(std::string(Error("a.mp4", "no such file").what()) == "'a.mp4': no such file");
    CHECK(std::string(Error("", "no model given", "give --model").what()) ==
          "no model given; give --model");
    CHECK(std::string(Error("a.mp4", "").what()) == "'a.mp4'");
}

TEST_CASE("names from outside cannot break the line or drive the terminal") {
    CHECK(std::string(Error("a\nb\x1b[2J", "bad").what()) == R"('a\nb\x1b[2J': bad)");
    CHECK(quoted_name("tab\there") == R"('tab\x09here')");
    CHECK(quoted_name("größe") == "'größe'");
}

TEST_CASE("long names are cut between characters") {
    std::string name(159, 'a');
    name += "ü and more";
    CHECK(quoted_name(name) == std::string("'").append(159, 'a').append("...'"));
    CHECK(quoted_name(std::string(160, 'b')) == std::string("'").append(160, 'b').append("'"));
}

TEST_CASE("a usage error lists one problem a line") {
    const UsageError error("",
                           "--steps is 0, expected 1 to 1000\n--guidance is -1, expected 0 to 50");
    CHECK(std::string(error.what()).find("1000\n--guidance") != std::string::npos);
}

}  // namespace weft
