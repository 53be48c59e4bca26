"""How stories move through a model's states: what is read after every sentence, decoded, recognised and steered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.shapes.stories.agreement import Agreement, agreement_difference
    from unweave.shapes.stories.arc_recognition import (
        Recognition,
        RecognitionDifference,
        arc_fit,
        compare_recognitions,
        recognise_by_path,
        recognise_by_template,
    )
    from unweave.shapes.stories.calibration import Calibration, fit_calibration
    from unweave.shapes.stories.geometry import (
        Preservation,
        Projection,
        concept_distances,
        fit_projection,
        human_distances,
        neighbourhood_preservation,
        path_distances,
        readout_distances,
        state_distances,
    )
    from unweave.shapes.stories.human import VALENCE_AROUSAL, valence_arousal
    from unweave.shapes.stories.order import OrderEffect, ShuffledReading, order_effect, roughness, shuffled_order
    from unweave.shapes.stories.paths import resampled, story_paths
    from unweave.shapes.stories.probes import Decoding, LayerProbes, Probe, fit_probe, probe_by_layer
    from unweave.shapes.stories.protagonist import find_protagonist
    from unweave.shapes.stories.readings import StoryReadings
    from unweave.shapes.stories.readouts import READOUTS, Readout, find_readout
    from unweave.shapes.stories.scene import Ghost, Scene, Scenes, Series, scenes_from_run
    from unweave.shapes.stories.states import story_states
    from unweave.shapes.stories.steering import Steering, fit_steering, random_steering, steered_answers
    from unweave.shapes.stories.surface import Curvature, Mesh, emotion_curvature, sheet_mesh
    from unweave.shapes.stories.text import Text, encode_text, read_story

_HOME = {
    "READOUTS": "readouts",
    "VALENCE_AROUSAL": "human",
    "Agreement": "agreement",
    "Calibration": "calibration",
    "Curvature": "surface",
    "Decoding": "probes",
    "Ghost": "scene",
    "LayerProbes": "probes",
    "Mesh": "surface",
    "OrderEffect": "order",
    "Preservation": "geometry",
    "Probe": "probes",
    "Projection": "geometry",
    "Readout": "readouts",
    "Recognition": "arc_recognition",
    "RecognitionDifference": "arc_recognition",
    "Scene": "scene",
    "Scenes": "scene",
    "Series": "scene",
    "ShuffledReading": "order",
    "Steering": "steering",
    "StoryReadings": "readings",
    "Text": "text",
    "agreement_difference": "agreement",
    "arc_fit": "arc_recognition",
    "compare_recognitions": "arc_recognition",
    "concept_distances": "geometry",
    "emotion_curvature": "surface",
    "encode_text": "text",
    "find_protagonist": "protagonist",
    "find_readout": "readouts",
    "fit_calibration": "calibration",
    "fit_probe": "probes",
    "fit_projection": "geometry",
    "fit_steering": "steering",
    "human_distances": "geometry",
    "neighbourhood_preservation": "geometry",
    "order_effect": "order",
    "path_distances": "geometry",
    "probe_by_layer": "probes",
    "random_steering": "steering",
    "read_story": "text",
    "readout_distances": "geometry",
    "recognise_by_path": "arc_recognition",
    "recognise_by_template": "arc_recognition",
    "resampled": "paths",
    "roughness": "order",
    "scenes_from_run": "scene",
    "sheet_mesh": "surface",
    "shuffled_order": "order",
    "state_distances": "geometry",
    "steered_answers": "steering",
    "story_paths": "paths",
    "story_states": "states",
    "valence_arousal": "human",
}
__all__ = [
    "READOUTS",
    "VALENCE_AROUSAL",
    "Agreement",
    "Calibration",
    "Curvature",
    "Decoding",
    "Ghost",
    "LayerProbes",
    "Mesh",
    "OrderEffect",
    "Preservation",
    "Probe",
    "Projection",
    "Readout",
    "Recognition",
    "RecognitionDifference",
    "Scene",
    "Scenes",
    "Series",
    "ShuffledReading",
    "Steering",
    "StoryReadings",
    "Text",
    "agreement_difference",
    "arc_fit",
    "compare_recognitions",
    "concept_distances",
    "emotion_curvature",
    "encode_text",
    "find_protagonist",
    "find_readout",
    "fit_calibration",
    "fit_probe",
    "fit_projection",
    "fit_steering",
    "human_distances",
    "neighbourhood_preservation",
    "order_effect",
    "path_distances",
    "probe_by_layer",
    "random_steering",
    "read_story",
    "readout_distances",
    "recognise_by_path",
    "recognise_by_template",
    "resampled",
    "roughness",
    "scenes_from_run",
    "sheet_mesh",
    "shuffled_order",
    "state_distances",
    "steered_answers",
    "story_paths",
    "story_states",
    "valence_arousal",
]

__getattr__ = lazy_exports(__name__, _HOME)
