#include <c10/util/StringUtil.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <system_error>
#include <utility>
#include <vector>

#include "io/files/error.h"
#include "io/media/image_coder.h"
#include "io/media/output_file.h"
#include "io/media/sequence.h"

namespace weft {
namespace fs = std::filesystem;

namespace {

const std::string space_hint = "free some space or choose another folder";

/// Notices transparency that a format cannot hold.
class AlphaWatch {
  public:
    void look(const Frame& frame, const ImageCoder& coder) {
        if (!lost_ && !coder.keeps_alpha() && frame.pixels.size(0) == 4)
            lost_ = frame.pixels[3].min().item<float>() < 0.999F;
    }

    std::vector<std::string> warnings() const {
        if (!lost_)
            return {};
        return {"transparency is lost: this format has none; .png, .tif and .exr have"};
    }

  private:
    bool lost_ = false;
};

/// The folder that pictures grow in: made and locked, emptied of what a killed run left behind, and
/// removed at the end with what is in it. Thread-safe: no.
class PartFolder {
  public:
    PartFolder(fs::path path, const std::string& name) : path_(std::move(path)) {
        std::error_code failed;
        fs::create_directory(path_, failed);
        lock_ = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (failed || lock_ < 0)
            throw Error(name, "cannot be written: " + failed.message(),
                        "choose a folder you may write to");
        if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
            ::close(lock_);
            throw Error(name, "is being written by another run",
                        "wait for it or choose another name");
        }
        for (const fs::directory_entry& entry : fs::directory_iterator(path_, failed))
            fs::remove(entry.path(), failed);
    }

    PartFolder(const PartFolder&) = delete;
    PartFolder& operator=(const PartFolder&) = delete;

    ~PartFolder() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
        ::close(lock_);
    }

    const fs::path& path() const { return path_; }

  private:
    fs::path path_;
    int lock_ = -1;
};

/// Makes the target's folder where the target is a folder whose parent exists.
const SequencePattern& with_folder(const SequencePattern& pattern, const std::string& name) {
    const fs::path folder = pattern.folder.empty() ? fs::path(".") : pattern.folder;
    std::error_code failed;
    if (fs::is_directory(folder, failed))
        return pattern;
    const fs::path plain = folder.filename().empty() ? folder.parent_path() : folder;
    if (!fs::create_directory(plain, failed))
        throw Error(name, "its folder does not exist", "create the folder first");
    return pattern;
}

class SequenceWriter final : public FrameSink {
  public:
    SequenceWriter(const Location& location, const StreamInfo& info, const WriteOptions& options)
        : name_(location.path.string()),
          pattern_(location.pattern),
          info_(info),
          coder_(image_format_for(pattern_.file(0)), info, options.encoder_options),
          part_(checked_part(options), name_) {}

    void put(const Frame& frame) override {
        const int64_t number = info_.first_number + frame.index;
        const fs::path place = pattern_.file(number);
        const PacketHandle bytes = coder_.encode(frame.pixels);
        write_bytes(part_.path() / place.filename(), *bytes, name_);
        written_.push_back(place);
        alpha_.look(frame, coder_);
    }

    void finish() override {
        if (written_.empty())
            throw Error(name_, "there is no frame to write", "check --from and --to");
        for (const fs::path& place : written_) {
            std::error_code failed;
            fs::rename(part_.path() / place.filename(), place, failed);
            if (failed)
                throw Error(name_, "cannot be completed: " + failed.message(), space_hint);
        }
        const fs::path folder = pattern_.folder.empty() ? fs::path(".") : pattern_.folder;
        const int directory = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ::syncfs(directory);  // one call for all files
        ::close(directory);
    }

    std::vector<std::string> warnings() const override { return alpha_.warnings(); }

  private:
    fs::path checked_part(const WriteOptions& options) {
        with_folder(pattern_, name_);
        const auto present = pattern_.files();
        if (!present.empty() && same_file(present.begin()->second, info_.path))
            throw Error(name_, "is the input itself", "choose another name");
        if (!present.empty() && !options.overwrite)
            throw Error(name_, "exists already",
                        "choose another name or pass --overwrite to replace its files");
        const std::string name = fs::path(pattern_.text()).filename().string();
        return (pattern_.folder.empty() ? fs::path(".") : pattern_.folder) /
               c10::str(".", name, ".weft-part");
    }

    std::string name_;
    SequencePattern pattern_;
    StreamInfo info_;
    ImageCoder coder_;
    PartFolder part_;
    std::vector<fs::path> written_;
    AlphaWatch alpha_;
};

/// One picture from one frame.
class PictureWriter final : public FrameSink {
  public:
    PictureWriter(const Location& location, const StreamInfo& info, const WriteOptions& options)
        : name_(location.path.string()),
          coder_(image_format_for(location.path), info, options.encoder_options),
          file_(checked(location.path, info),
                options.overwrite ? OutputFile::Existing::replace : OutputFile::Existing::refuse) {}

    void put(const Frame& frame) override {
        if (written_)
            throw Error(name_, "is one picture, the source has several frames",
                        "name a sequence (shot.%04d.png) or a video, or choose one with --to");
        write_bytes(file_.part(), *coder_.encode(frame.pixels), name_);
        written_ = true;
        alpha_.look(frame, coder_);
    }

    void finish() override {
        if (!written_)
            throw Error(name_, "there is no frame to write", "check --from and --to");
        file_.commit();
    }

    std::vector<std::string> warnings() const override { return alpha_.warnings(); }

  private:
    static const fs::path& checked(const fs::path& path, const StreamInfo& info) {
        if (same_file(path, info.path))
            throw Error(path.string(), "is the input itself", "choose another name");
        return path;
    }

    std::string name_;
    ImageCoder coder_;
    OutputFile file_;
    bool written_ = false;
    AlphaWatch alpha_;
};

}  // namespace

std::unique_ptr<FrameSink> create_pictures(const Location& location, const StreamInfo& info,
                                           const WriteOptions& options) {
    if (location.kind == Location::Kind::sequence)
        return std::make_unique<SequenceWriter>(location, info, options);
    return std::make_unique<PictureWriter>(location, info, options);
}

}  // namespace weft
