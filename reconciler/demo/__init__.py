"""The main job on embedded defaults: three real Envoys before two versions of a small application, driven by commits."""
