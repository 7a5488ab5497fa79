"""The SR-outputs set: photos degraded, upscaled by several models, scored and selected."""
