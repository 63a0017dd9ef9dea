#include "io/media/time.h"

#include <catch2/catch.hpp>

#include "io/files/error.h"

using weft::Position;
using weft::Rational;
using weft::Time;

TEST_CASE("fractions stay exact and reduced") {
    CHECK(Rational(6, -4) == Rational(-3, 2));
    CHECK(Rational(1, 3) + Rational(1, 6) == Rational(1, 2));
    CHECK(Rational(1, 3) - Rational(1, 2) == Rational(-1, 6));
    CHECK(Rational(30000, 1001) * Rational(1001, 30000) == Rational(1));
    CHECK(Rational(1) / Rational(3) < Rational(334, 1000));
    CHECK(Rational(-1, 2) < Rational(-1, 3));
    // The sum of a million frames at 29.97 has no drift.
    CHECK(Time::of(1'000'000, {1001, 30000}) == Time(1'001'000'000, 30000));
}

TEST_CASE("products beyond 64 bits reduce before they are stored") {
    const Rational big(9'000'000'000'000'000'000, 7);
    CHECK(big * Rational(7, 9) == Rational(1'000'000'000'000'000'000));
    CHECK_THROWS(big * Rational(11, 1));
}

TEST_CASE("ticks round to the nearest, halves away from zero") {
    CHECK(Time(1, 2).ticks({1, 1}) == 1);
    CHECK(Time(-1, 2).ticks({1, 1}) == -1);
    CHECK(Time(1001, 30000).ticks({1, 1000}) == 33);
    CHECK(Time(49, 100).ticks({1, 1}) == 0);
}

TEST_CASE("positions are read as people write them") {
    CHECK(Position::parse("12.5", "--from").time == Time(25, 2));
    CHECK(Position::parse("00:01:02.5", "--from").time == Time(125, 2));
    CHECK(Position::parse("01:02", "--from").time == Time(62, 1));
    CHECK(Position::parse("90f", "--from").frame == 90);
    CHECK_FALSE(Position::parse("90", "--from").frame.has_value());
    for (const char* wrong : {"", "-1", "1:2:3:4", "f", "1.5f", "1,5", "nan", "1e3", " 1"})
        CHECK_THROWS_AS(Position::parse(wrong, "--from"), weft::UsageError);
    CHECK_THROWS_WITH(Position::parse("soon", "--from"),
                      Catch::Contains("--from") && Catch::Contains("soon"));
}

TEST_CASE("times print as a clock") {
    CHECK(to_string(Time(3'723'045, 1000)) == "1:02:03.045");
    CHECK(to_string(Time(-1, 2)) == "-0:00:00.500");
}
