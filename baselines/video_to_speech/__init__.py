"""Video-to-speech: what a silent film says, heard; encoders, decoders, training and the two systems."""
