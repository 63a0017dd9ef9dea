#include "io/media/inspect.h"

#include <c10/util/StringUtil.h>

#include <algorithm>

#include "io/media/codecs.h"
#include "io/media/input.h"

namespace weft {

MediaInfo inspect_media(const std::filesystem::path& path) {
    const InputHandle input = open_input(path);
    MediaInfo info;
    info.container = input->iformat->name;
    if (input->duration != AV_NOPTS_VALUE && input->duration > 0)
        info.duration = Time::of(input->duration, {1, AV_TIME_BASE});
    info.bit_rate = input->bit_rate;
    info.chapters = input->nb_chapters;
    const AVDictionaryEntry* entry = nullptr;
    while ((entry = av_dict_get(input->metadata, "", entry, AV_DICT_IGNORE_SUFFIX)) != nullptr)
        info.tags[entry->key] = entry->value;
    const int video = main_video_stream(*input);
    if (video >= 0)
        info.video = stream_info(*input, video, path);
    for (unsigned i = 0; i < input->nb_streams; ++i) {
        if (static_cast<int>(i) != video)
            info.others.push_back(side_stream(*input->streams[i]));
    }
    return info;
}

std::string codec_problem(const std::string& name) {
    const auto& table = codec_table();
    const auto entry = std::find_if(table.begin(), table.end(),
                                    [&](const CodecEntry& each) { return name == each.name; });
    if (name == "auto" || (entry != table.end() && is_available(*entry)))
        return {};
    if (entry == table.end())
        return c10::str("unknown value '", name, "'; known: auto, ",
                        c10::Join(", ", available_codecs()));
    if (avcodec_find_encoder_by_name(entry->encoder) == nullptr)
        return c10::str("'", name, "' needs libavcodec's encoder ", entry->encoder,
                        ", which this FFmpeg lacks");
    return c10::str("'", name, "' needs a device that does not answer here; without one there is ",
                    name.substr(0, name.find('_')));
}

std::vector<std::string> available_codecs() {
    std::vector<std::string> names;
    for (const CodecEntry& entry : codec_table()) {
        if (is_available(entry))
            names.emplace_back(entry.name);
    }
    return names;
}

}  // namespace weft
