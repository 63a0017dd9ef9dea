#include "io/media/encoder_options.h"

#include <c10/util/StringUtil.h>

#include "io/files/error.h"
#include "io/media/convert.h"

namespace weft {
namespace {

const char* const option = "--encoder-opts";

}  // namespace

EncoderOptions::EncoderOptions(const std::string& text) {
    AVDictionary* parsed = nullptr;
    const int code = av_dict_parse_string(&parsed, text.c_str(), "=", ":", 0);
    const AVDictionaryEntry* entry = nullptr;
    while ((entry = av_dict_get(parsed, "", entry, AV_DICT_IGNORE_SUFFIX)) != nullptr)
        pairs_[entry->key] = entry->value;
    av_dict_free(&parsed);
    if (code < 0)
        throw UsageError(option, c10::str("'", text, "' is not KEY=VALUE:KEY=VALUE"),
                         "write e.g. tune=film:bf=2");
}

std::optional<AVPixelFormat> EncoderOptions::pixel_format(const AVCodec& codec) const {
    const auto found = pairs_.find("pix_fmt");
    if (found == pairs_.end())
        return std::nullopt;
    const AVPixelFormat wanted = av_get_pix_fmt(found->second.c_str());
    std::string known;
    for (const AVPixelFormat* f = codec.pix_fmts; f != nullptr && *f != AV_PIX_FMT_NONE; ++f) {
        if (!can_encode(*f))
            continue;
        if (*f == wanted)
            return wanted;
        known += c10::str(known.empty() ? "" : ", ", av_get_pix_fmt_name(*f));
    }
    throw UsageError(
        option, c10::str(codec.name, " has no pix_fmt '", found->second, "'"),
        known.empty() ? std::string("leave it out") : c10::str("choose one of ", known));
}

void EncoderOptions::add_to(Options& dictionary) const {
    for (const auto& [key, value] : pairs_) {
        if (key == "pix_fmt")
            continue;
        const AVDictionaryEntry* ours = av_dict_get(*dictionary.address(), key.c_str(), nullptr, 0);
        const bool appended = ours != nullptr && (key == "x264-params" || key == "x265-params");
        dictionary.set(key.c_str(), appended ? c10::str(ours->value, ":", value) : value);
    }
}

void refuse_unused(Options& dictionary, const AVCodec& codec) {
    const AVDictionaryEntry* left =
        av_dict_get(*dictionary.address(), "", nullptr, AV_DICT_IGNORE_SUFFIX);
    if (left != nullptr)
        throw UsageError(option, c10::str(codec.name, " has no option '", left->key, "'"),
                         c10::str("'ffmpeg -h encoder=", codec.name, "' lists them"));
}

}  // namespace weft
