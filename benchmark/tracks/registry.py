"""Tracks by name."""

from doppelbench.benchmark.tracks import audio_to_video, video_to_speech, voice_conversion
from doppelbench.benchmark.tracks.track import MakeTrials, Track

TRACKS: dict[str, tuple[Track, MakeTrials]] = {
    module.TRACK.name: (module.TRACK, module.make_trials)
    for module in (voice_conversion, audio_to_video, video_to_speech)
}
