#!/usr/bin/env bash
# Makes the seeds of the fuzz targets: make_corpus.sh FOLDER. Clips are drawn by ffmpeg's own sources,
# a few hundred bytes to some kilobytes each: one a container, codec and kind of pixel.
set -euo pipefail
folder=${1:?usage: make_corpus.sh FOLDER}
mkdir -p "$folder"/{media,plan,sequence,lut,safetensors,config}
picture='-f lavfi -i testsrc2=s=32x32:r=10:d=0.3'
sound='-f lavfi -i sine=d=0.3:r=8000'

clip() {  # NAME ARGUMENTS...
    local name=$1
    shift
    # shellcheck disable=SC2086
    ffmpeg -nostdin -v error -y $picture "$@" "$folder/media/$name"
    printf '\0\0\0' >>"$folder/media/$name"  # how it is read: from the start, strictly
}

for ending in mp4 mkv mov ts avi nut flv; do
    # shellcheck disable=SC2086
    clip "h264.$ending" $sound -c:v libx264 -preset ultrafast -c:a aac
done
clip mpeg4.avi -c:v mpeg4
clip mpeg2.mpg -c:v mpeg2video
clip hevc.mp4 -c:v libx265 -preset ultrafast -x265-params log-level=none
clip vp8.webm -c:v libvpx -pix_fmt yuva420p -auto-alt-ref 0
clip vp9.webm -c:v libvpx-vp9 -cpu-used 8 -pix_fmt yuva420p
clip av1.mkv -c:v libaom-av1 -cpu-used 8 -usage realtime
clip prores.mov -c:v prores_ks -pix_fmt yuva444p10le
clip qtrle.mov -c:v qtrle
clip ffv1.mkv -c:v ffv1 -pix_fmt yuv420p10le
clip mjpeg.avi -c:v mjpeg -pix_fmt yuvj420p
clip fields.mp4 -c:v libx264 -flags +ilme+ildct -preset ultrafast
clip raw.y4m
clip anim.gif
for ending in png tif dpx exr bmp webp jpg tga ppm sgi; do clip "still.$ending" -frames:v 1; done
clip turned.mp4 -c:v libx264 -preset ultrafast -metadata:s:v:0 rotate=90

printf 'weft_plan = 1\nprompt = "night"\nstrength = 0.5\nsteps = 4\n' >"$folder/plan/plain.toml"
printf 'weft_plan = 1\nstrength = [ { at = 0, value = 0.1 }, { at = 2.5, value = 1.0 } ]\nfrom = "1:02.5"\nfps = "30000/1001"\n' \
    >"$folder/plan/curve.toml"
printf 'shots/shot.%%04d.exr\0shot.0001.exr' >"$folder/sequence/percent"
printf 'shot.####.png\0shot.12345.png' >"$folder/sequence/hashes"
printf '%%d.tif\00029.97' >"$folder/sequence/plain"
printf '0TITLE "a"\nDOMAIN_MIN 0 0 0\nLUT_1D_SIZE 2\n0 0 0\n1 1 1\n' >"$folder/lut/cube"
printf '1Version 1\nFrom 0 1\nLength 2\nComponents 1\n{\n0\n1\n}\n' >"$folder/lut/spi1d"
printf '2SPILUT 1.0\n3 3\n2 2 2\n0 0 0 0 0 0\n0 0 1 0 0 1\n' >"$folder/lut/spi3d"
printf '31 0 0 0\n0 1 0 0\n0 0 1 0\n' >"$folder/lut/spimtx"
printf '4<ProcessList><LUT3D><Array dim="2 2 2 3">0 0 0</Array></LUT3D></ProcessList>' >"$folder/lut/clf"

top=$(cd "$(dirname "$0")/../.." && pwd)
cp "$top"/models/starter/model_index.json "$folder/config/"
for part in unet vae text_encoder; do cp "$top/models/starter/$part/config.json" "$folder/config/$part.json"; done
cp "$top"/tests/parity/references/{merged_attention,clip_projection}.safetensors "$folder/safetensors/"
