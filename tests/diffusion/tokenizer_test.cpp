#include "diffusion/tokenizer.h"

#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>

#include "diffusion/tokenizer_training.h"
#include "diffusion/unicode.h"
#include "io/files/error.h"

using namespace weft;
namespace fs = std::filesystem;

namespace {

const std::vector<std::string> captions{"a red ball",      "a red car", "Red balls, red cars!",
                                        "the ball's café", "",          "\xff\xfe"};

struct Folder {
    fs::path path = fs::temp_directory_path() / "weft-tokenizer-test";

    Folder() { fs::create_directories(path); }

    ~Folder() { fs::remove_all(path); }
};

std::string text_of(const LearnedBpe& bpe, const std::vector<int64_t>& ids) {
    std::string text;
    for (const int64_t id : ids) text += bpe.vocab.at(static_cast<size_t>(id)) + "|";
    return text;
}

}  // namespace

TEST_CASE("learned merges are frequent ones, and learning repeats") {
    const LearnedBpe bpe = learn_bpe(captions, 12);
    REQUIRE(bpe.merges.size() == 7);  // the others occur once
    CHECK(bpe.vocab.size() == 519);
    CHECK(bpe.merges[0] == std::pair<std::string, std::string>("e", "d</w>"));
    CHECK(text_of(bpe, make_tokenizer(bpe).tokenize("red BALL")) == "red</w>|ball</w>|");
    CHECK(learn_bpe(captions, 12).merges == bpe.merges);
    // Nothing that occurs once is merged.
    CHECK(learn_bpe({"abc"}, 10).merges.empty());
    CHECK(learn_bpe({}, 10).vocab.size() == 512);
}

TEST_CASE("a saved tokenizer reads back the same") {
    const Folder folder;
    const LearnedBpe bpe = learn_bpe(captions, 12);
    const Tokenizer made = make_tokenizer(bpe);
    save_tokenizer(bpe, folder.path);
    const Tokenizer read = Tokenizer::read(folder.path);
    CHECK(read.vocab_size() == made.vocab_size());
    for (const std::string& text : captions) CHECK(read.encode(text) == made.encode(text));
    CHECK(made.encode("").size() == 77);
    CHECK(made.encode("")[1] == made.end_id());
    CHECK(made.length("red red") == 4);
}

TEST_CASE("any text has ids, in time that grows with its length") {
    const LearnedBpe bpe = learn_bpe({"aa aa aaaa aaaa aaaaaaaa aaaaaaaa"}, 8);
    const Tokenizer tokenizer = make_tokenizer(bpe);
    CHECK(tokenizer.tokenize(std::string(300'000, 'a')).size() <= 75'000);
    CHECK(tokenizer.tokenize(std::string(1'000, '\0')).size() == 1'000);
    CHECK_THROWS_AS(tokenizer.tokenize(std::string(2 << 20, 'a')), Error);
}

TEST_CASE("broken tokenizer files are told") {
    const Folder folder;
    CHECK_THROWS_WITH(Tokenizer::read(folder.path), Catch::Contains("vocab.json"));
    save_tokenizer(learn_bpe(captions, 4), folder.path);
    std::ofstream(folder.path / "merges.txt") << "#version: 0.2\nonly\n";
    CHECK_THROWS_WITH(Tokenizer::read(folder.path), Catch::Contains("line 2"));
    std::ofstream(folder.path / "merges.txt") << "#version: 0.2\nxyzzy q\n";
    CHECK_THROWS_AS(Tokenizer::read(folder.path), Error);
    std::ofstream(folder.path / "merges.txt") << "";
    std::ofstream(folder.path / "vocab.json") << R"({"a": -1})";
    CHECK_THROWS_AS(Tokenizer::read(folder.path), Error);
    std::ofstream(folder.path / "vocab.json") << R"({"a": 1})";
    CHECK_THROWS_WITH(Tokenizer::read(folder.path), Catch::Contains("<|startoftext|>"));
}

TEST_CASE("UTF-8 round trips and broken parts become U+FFFD") {
    CHECK(encode_utf8(decode_utf8("a\u00e9\u4e2d\U0001f600")) == "a\u00e9\u4e2d\U0001f600");
    CHECK(decode_utf8("a\xff"
                      "b") == U"a\ufffdb");
    CHECK(decode_utf8("\xe2\x82") == U"\ufffd");
    CHECK(decode_utf8("\xe2\x82x\xf0\x9f") == U"\ufffdx\ufffd");
    CHECK(decode_utf8("\xed\xa0\x80") == U"\ufffd\ufffd\ufffd");
    CHECK(decode_utf8("\xc0\xaf") == U"\ufffd\ufffd");
}

TEST_CASE("normalization composes, orders marks and joins Hangul") {
    CHECK(nfc(U"e\u0301") == U"\u00e9");
    CHECK(nfc(U"a\u0307\u0323") == U"\u1ea1\u0307");
    CHECK(nfc(U"\u1112\u1161\u11ab") == U"\ud55c");
    CHECK(nfc(U"\u212b\u0958") == U"\u00c5\u0915\u093c");
    CHECK(nfc(U"\u0301e") == U"\u0301e");
    CHECK(lower_case(U"\u0130\u03a3A") == U"i\u0307\u03c3a");
    CHECK(is_letter(U'\u00aa'));
    CHECK(is_number(U'\u2163'));
    CHECK_FALSE(is_letter(U'_'));
    CHECK(is_space(U'\u3000'));
}
