"""The compute node: camera frames → algorithm → annotated frames and detections."""
