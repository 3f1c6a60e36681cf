#!/bin/sh
# Makes the sandbox's demo files, which are committed; run it only to change them.
# Needs Debian's ffmpeg, imagemagick, espeak-ng, zip and python3.
set -eu
cd "$(dirname "$0")/../src/kurir/sandbox/media_files"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A dusk over the sea: sky and water are gradients, the sun and its path are blurred shapes, so that it compresses well.
convert -size 800x330 gradient:'#233a6b-#f6a65b' "$work/sky.png"
convert -size 800x170 gradient:'#d98a57-#16324f' "$work/sea.png"
convert "$work/sky.png" "$work/sea.png" -append \
    \( -size 800x500 xc:none -fill '#ffe9b8' -draw 'circle 560,300 560,258' -blur 0x2 \) -composite \
    \( -size 800x500 xc:none -fill '#ffdfa080' -draw 'polygon 540,332 580,332 660,500 460,500' -blur 0x12 \) -composite \
    \( -size 800x500 xc:none -fill '#1b2a47' -draw 'polygon 0,332 0,262 120,214 250,290 330,268 430,332' -blur 0x1 \) -composite \
    -attenuate 0.04 +noise Gaussian -blur 0x0.4 -strip -quality 82 -sampling-factor 4:2:0 demo.jpg

# Two seconds of the same picture, slowly coming nearer, with a soft two-note chime: H.264 (main) and AAC.
ffmpeg -nostdin -loglevel error -y -loop 1 -t 2 -i demo.jpg \
    -f lavfi -t 1 -i 'sine=frequency=523:sample_rate=44100' -f lavfi -t 1 -i 'sine=frequency=659:sample_rate=44100' \
    -filter_complex "[0:v]zoompan=z='1+0.0016*on':d=1:s=640x400:fps=25,format=yuv420p[v];[1:a][2:a]concat=n=2:v=0:a=1,volume=0.3,afade=t=out:st=1.2:d=0.8[a]" \
    -map '[v]' -map '[a]' -t 2 -c:v libx264 -profile:v main -bf 0 -crf 28 -preset slow -c:a aac -b:a 64k \
    -map_metadata -1 -fflags +bitexact -flags:v +bitexact -flags:a +bitexact -movflags +faststart demo.mp4

# Three seconds of music (an arpeggio), as AAC in an m4a.
ffmpeg -nostdin -loglevel error -y \
    -f lavfi -t 3 -i 'aevalsrc=0.25*sin(2*PI*t*(262+68*floor(mod(t*4\,4))))*exp(-3*mod(t*4\,1)):s=44100' \
    -af 'afade=t=out:st=2.4:d=0.6' -c:a aac -b:a 64k -map_metadata -1 -fflags +bitexact -flags:a +bitexact \
    -movflags +faststart demo.m4a

# A spoken voice note of three seconds, as the voice notes of chat apps are: OGG with Opus, mono.
espeak-ng -v en -s 150 -w "$work/voice.wav" 'Hello, this is a voice note from the sandbox.'
ffmpeg -nostdin -loglevel error -y -i "$work/voice.wav" -af 'apad=whole_dur=3' -t 3 -ac 1 -ar 48000 -c:a libopus -b:a 24k \
    -application voip -map_metadata -1 -fflags +bitexact -flags:a +bitexact demo.ogg

# One page each, written byte by byte so that no word processor's metadata comes along.
python3 - <<'PY'
import zipfile

words = ["Demo document", "This page comes from the sandbox of kurir.", "It stands for an invoice, a ticket or a contract."]
text = "BT /F1 22 Tf 72 760 Td (%s) Tj /F1 12 Tf 0 -36 Td (%s) Tj 0 -18 Td (%s) Tj ET" % tuple(words)
objects = [
    "<< /Type /Catalog /Pages 2 0 R >>",
    "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
    "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
    f"<< /Length {len(text)} >>\nstream\n{text}\nendstream",
    "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
]
pdf, offsets = b"%PDF-1.4\n", []
for number, content in enumerate(objects, 1):
    offsets.append(len(pdf))
    pdf += f"{number} 0 obj\n{content}\nendobj\n".encode()
table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
pdf += f"xref\n0 6\n0000000000 65535 f \n{table}trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n{len(pdf)}\n%%EOF\n".encode()
open("demo.pdf", "wb").write(pdf)

head = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
package = "http://schemas.openxmlformats.org/package/2006"
office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
main = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
paragraphs = "".join(f"<w:p><w:r><w:t>{line}</w:t></w:r></w:p>" for line in words)
parts = {
    "[Content_Types].xml": f'<Types xmlns="{package}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/word/document.xml" ContentType="{main}"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{package}/relationships">'
    f'<Relationship Id="rId1" Type="{office}" Target="word/document.xml"/></Relationships>',
    "word/document.xml": '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
    f"<w:body>{paragraphs}<w:sectPr/></w:body></w:document>",
}
with zipfile.ZipFile("demo.docx", "w", zipfile.ZIP_DEFLATED) as archive:
    for name, content in parts.items():
        archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), head + content, zipfile.ZIP_DEFLATED)
PY
ls -l
