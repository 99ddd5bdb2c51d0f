"""What factors and subtypes mean: genes and gene sets, mutations, and what may resist or be targeted."""

from omics.interpret.antigens import antigens_view
from omics.interpret.associations import associations
from omics.interpret.concordance import concordant_pairs
from omics.interpret.differential import differential, most_different
from omics.interpret.genesets import LARGEST, SMALLEST, read_gmt, split_symbols
from omics.interpret.knowledge import FORMS, symbol_of, table, tables
from omics.interpret.leading import leading_features
from omics.interpret.lesions import lesions, measured, profile
from omics.interpret.mutation_evolution import evolution, unpaired
from omics.interpret.mutation_pairs import pairs_of_genes
from omics.interpret.mutations import burden, enriched, math_score, oncoprint, with_event
from omics.interpret.patients import View
from omics.interpret.pharmacogenes import pharmacogenes_view, refuse_tumour
from omics.interpret.probes import cpg_enrichment
from omics.interpret.ranked import preranked
from omics.interpret.sets import factor_enrichment
from omics.interpret.views import resistance_view, targets_view

__all__ = [
    "FORMS",
    "LARGEST",
    "SMALLEST",
    "View",
    "antigens_view",
    "associations",
    "burden",
    "concordant_pairs",
    "cpg_enrichment",
    "differential",
    "enriched",
    "evolution",
    "factor_enrichment",
    "leading_features",
    "lesions",
    "math_score",
    "measured",
    "most_different",
    "oncoprint",
    "pairs_of_genes",
    "pharmacogenes_view",
    "preranked",
    "profile",
    "read_gmt",
    "refuse_tumour",
    "resistance_view",
    "split_symbols",
    "symbol_of",
    "table",
    "tables",
    "targets_view",
    "unpaired",
    "with_event",
]
