"""Images and videos, face detection, optical flow, the apex and movement spotting."""
