"""How stories move through a model's states: emotions read off them, arcs recognised, and their geometry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unweave.base.lazy import lazy_exports

if TYPE_CHECKING:
    from unweave.shapes.stories.arc_recognition import (
        Recognition,
        RecognitionDifference,
        arc_fit,
        compare_recognitions,
        recognise_by_path,
        recognise_by_template,
    )
    from unweave.shapes.stories.geometry import (
        concept_distances,
        directions_held,
        human_distances,
        path_distances,
        readout_distances,
        state_distances,
    )
    from unweave.shapes.stories.human import VALENCE_AROUSAL, valence_arousal
    from unweave.shapes.stories.order import OrderEffect, ShuffledReading, order_effect, roughness, shuffled_order
    from unweave.shapes.stories.paths import resampled, story_paths
    from unweave.shapes.stories.probes import Decoding, LayerProbes, Probe, fit_probe, probe_by_layer
    from unweave.shapes.stories.projection import (
        Preservation,
        Projection,
        fit_projection,
        neighbourhood_preservation,
    )
    from unweave.shapes.stories.surface import Curvature, Mesh, emotion_curvature, sheet_mesh

_HOME = {
    "VALENCE_AROUSAL": "human",
    "Curvature": "surface",
    "Decoding": "probes",
    "LayerProbes": "probes",
    "Mesh": "surface",
    "OrderEffect": "order",
    "Preservation": "projection",
    "Probe": "probes",
    "Projection": "projection",
    "Recognition": "arc_recognition",
    "RecognitionDifference": "arc_recognition",
    "ShuffledReading": "order",
    "arc_fit": "arc_recognition",
    "compare_recognitions": "arc_recognition",
    "concept_distances": "geometry",
    "directions_held": "geometry",
    "emotion_curvature": "surface",
    "fit_probe": "probes",
    "fit_projection": "projection",
    "human_distances": "geometry",
    "neighbourhood_preservation": "projection",
    "order_effect": "order",
    "path_distances": "geometry",
    "probe_by_layer": "probes",
    "readout_distances": "geometry",
    "recognise_by_path": "arc_recognition",
    "recognise_by_template": "arc_recognition",
    "resampled": "paths",
    "roughness": "order",
    "sheet_mesh": "surface",
    "shuffled_order": "order",
    "state_distances": "geometry",
    "story_paths": "paths",
    "valence_arousal": "human",
}
__all__ = [
    "VALENCE_AROUSAL",
    "Curvature",
    "Decoding",
    "LayerProbes",
    "Mesh",
    "OrderEffect",
    "Preservation",
    "Probe",
    "Projection",
    "Recognition",
    "RecognitionDifference",
    "ShuffledReading",
    "arc_fit",
    "compare_recognitions",
    "concept_distances",
    "directions_held",
    "emotion_curvature",
    "fit_probe",
    "fit_projection",
    "human_distances",
    "neighbourhood_preservation",
    "order_effect",
    "path_distances",
    "probe_by_layer",
    "readout_distances",
    "recognise_by_path",
    "recognise_by_template",
    "resampled",
    "roughness",
    "sheet_mesh",
    "shuffled_order",
    "state_distances",
    "story_paths",
    "valence_arousal",
]

__getattr__ = lazy_exports(__name__, _HOME)
