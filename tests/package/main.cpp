// user CLIP MODEL: prints the clip's size and the model's family, through the installed headers.
#include <cstdio>

#include "diffusion/model.h"
#include "io/media/reader.h"
#include "temporal/noise.h"

int main(int argc, char** argv) {
    if (argc != 3)
        return 2;
    const auto reader = weft::open_video(argv[1]);
    const auto traits = weft::DiffusionModel::read_traits(argv[2]);
    std::printf("%ldx%ld %s\n", reader->info().width, reader->info().height, traits.family.c_str());
    return 0;
}
