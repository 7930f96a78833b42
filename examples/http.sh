#!/usr/bin/env bash
# Objects in a picture, over HTTP with curl: examples/http.sh photo.jpg [localhost:8000]
#
# KServe v2 with Triton's binary data: JSON that describes the tensors, then their bytes. The answer is JSON.
# The server has HTTP off unless asked for: reelscope server up --http
set -euo pipefail
url=${2:-localhost:8000}
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT

# Decoded pixels, RGB: here with OpenCV, as well with `ffmpeg -i photo.jpg -f rawvideo -pix_fmt rgb24 frame`.
python3 -c 'import cv2, sys
frame = cv2.cvtColor(cv2.imread(sys.argv[1]), cv2.COLOR_BGR2RGB)
frame.tofile(sys.argv[2])
print(*frame.shape[:2])' "$1" "$folder/frame" > "$folder/size"
read -r height width < "$folder/size"

header='{"inputs": [{"name": "frames", "shape": [1, '$height', '$width', 3], "datatype": "UINT8",
                     "parameters": {"binary_data_size": '$((height * width * 3))'}}],
         "outputs": [{"name": "count"}, {"name": "class_ids"}, {"name": "scores"}]}'
{ printf '%s' "$header"; cat "$folder/frame"; } > "$folder/body"

curl --silent --show-error --fail-with-body "http://$url/v2/models/detections/infer" \
    --header "Inference-Header-Content-Length: ${#header}" --header 'Content-Type: application/octet-stream' \
    --data-binary "@$folder/body"
