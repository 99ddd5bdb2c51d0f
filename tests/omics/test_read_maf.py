"""MAF: who carries what, of whom it is known."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

from omics.interpret import mutation_calls
from omics.read.maf import NO_GENE, NON_SYNONYMOUS, SILENT, carrier_matrix, choose, read_maf, read_sequenced
from omics.schema import DataError
from tests.mutated import MAF

HEADER = [
    *("Hugo_Symbol", "Entrez_Gene_Id", "NCBI_Build", "Chromosome", "Start_Position", "Variant_Classification"),
    *("Reference_Allele", "Tumor_Seq_Allele2", "Tumor_Sample_Barcode"),
]
RULES = {"timepoint": "diagnosis", "on_duplicate": "error"}


def variant(gene, sample, kind="Missense_Mutation", position="100", build="GRCh38", alternative="T"):
    return [gene, "1", build, "chr1", position, kind, "A", alternative, f"TARGET-10-{sample}"]


def written(tmp_path, rows, above="#version 2.4\n# two lines\n", name="m.maf"):
    path = tmp_path / name
    text = above + "\n".join("\t".join(row) for row in [HEADER, *rows]) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    return path


@pytest.mark.parametrize("name", ["m.maf", "m.maf.gz"])
def test_carriers(tmp_path, name):
    path = written(
        tmp_path,
        [
            variant("TP53", "PAA-09A"),
            variant("TP53", "PAA-09A"),  # a second caller
            variant("TP53", "PAA-09A", alternative="G"),
            variant("PAX5", "PAB-09A", "Silent"),
            variant("Unknown", "PAA-09A"),
            variant("NA", "PAB-09A", "Splice_Site"),
            variant("KRAS", "PAC-40A"),
        ],
        name=name,
    )
    mutations = read_maf(path)
    assert "left out: 1 repeated, 1 intergenic, 1 silent" in mutations.notes[0]
    chosen = choose(mutations, None, path, **RULES)
    genes, values = carrier_matrix(mutations, chosen)
    assert chosen.patients == ["TARGET-10-PAA", "TARGET-10-PAB"]
    assert chosen.excluded == [("mutation", "TARGET-10-PAC-40A", "relapse")]
    assert genes == ["NA", "TP53"]  # KRAS has no carrier at diagnosis
    np.testing.assert_array_equal(values, [[0, 1], [1, 0]])
    assert mutations.chromosome["TP53"] == "chr1"


def test_classes_that_count(tmp_path):
    kinds = [*sorted(NON_SYNONYMOUS), "Silent", "Intron", "3'UTR", "IGR", "RNA", "Splice_Region", "5'Flank"]
    rows = [variant(f"G{number}", "PAA-09A", kind) for number, kind in enumerate(kinds)]
    assert set(read_maf(written(tmp_path, rows)).carriers) == {f"G{number}" for number in range(10)}


def test_what_alters_is_what_the_room_of_interpretation_says(tmp_path):
    """Rooms may not import each other, so that the two lists are held together here."""
    assert SILENT == mutation_calls.SILENT
    assert NO_GENE == mutation_calls.NO_GENE
    kinds = [*NON_SYNONYMOUS, *SILENT, "MISSENSE_MUTATION", "Silent", "Fusion", "Start_Codon_SNP", "no such class"]
    rows = [variant(f"G{number}", "PAA-09A", kind) for number, kind in enumerate(kinds)]
    rows += [variant("unknown", "PAA-09A"), variant("UNKNOWN", "PAA-09A"), variant("", "PAA-09A")]
    rows += [variant("LATE", "PAA-09A", kind) for kind in ("Silent", "Nonsense_Mutation", "Intron")]
    calls = pd.DataFrame(rows, columns=HEADER).rename(columns=MAF)
    table = mutation_calls.checked(calls, None)
    carriers = read_maf(written(tmp_path, rows)).carriers
    assert set(carriers) == set(table.loc[table["altering"], "gene"])
    assert "LATE" in carriers


def test_classes_that_are_unusual_are_named(tmp_path):
    rows = [variant("A", "PAA-09A", "Fusion"), variant("B", "PAA-09A", "Fusion"), variant("C", "PAA-09A", "")]
    notes = read_maf(written(tmp_path, rows)).notes
    assert "1 silent" in notes[0]
    assert notes[1].endswith("count as non-synonymous: Fusion (2)")


def test_sequenced_patients_without_a_variant_are_zero_rows(tmp_path):
    path = written(tmp_path, [variant("TP53", "PAB-09A-01D"), variant("TP53", "PAD-04A-01D")])
    listed = tmp_path / "sequenced.txt"
    listed.write_text(
        "# sequenced\nTARGET-10-PAZ-09A-01D\nTARGET-10-PAB-09A-01D\nTARGET-10-PAA-09A-01D\n\nTARGET-10-PAD-04A-01D\n"
    )
    mutations = read_maf(path)
    chosen = choose(mutations, read_sequenced(listed), path, **RULES)
    genes, values = carrier_matrix(mutations, chosen)
    assert chosen.patients == ["TARGET-10-PAA", "TARGET-10-PAB", "TARGET-10-PAZ"]
    assert chosen.in_file == 4
    assert chosen.excluded == [("mutation", "TARGET-10-PAD-04A-01D", "relapse")]
    assert genes == ["TP53"]
    np.testing.assert_array_equal(values, [[0], [1], [0]])
    with pytest.raises(
        DataError, match="1 patients of the MAF are not in the list of sequenced samples: TARGET-10-PAB"
    ):
        choose(mutations, ["TARGET-10-PAA"], path, **RULES)


def test_case_list_of_cbioportal(tmp_path):
    path = tmp_path / "cases.txt"
    path.write_text("stable_id: x\ncase_list_description: two: samples\ncase_list_ids: S1\tS2\n")
    assert read_sequenced(path) == ["S1", "S2"]
    path.write_text("# nobody\n")
    with pytest.raises(DataError, match="no sample id"):
        read_sequenced(path)


def test_several_samples_of_a_patient(tmp_path):
    path = written(tmp_path, [variant("TP53", "PAA-09A"), variant("KRAS", "PAA-03A")])
    mutations = read_maf(path)
    with pytest.raises(DataError, match="several diagnosis samples"):
        choose(mutations, None, path, **RULES)
    first = choose(mutations, None, path, **RULES | {"on_duplicate": "first"})
    assert carrier_matrix(mutations, first)[0] == ["TP53"]
    both = choose(mutations, None, path, **RULES | {"on_duplicate": "mean"})
    genes, values = carrier_matrix(mutations, both)
    assert genes == ["KRAS", "TP53"]
    np.testing.assert_array_equal(values, [[1, 1]])


def test_builds(tmp_path):
    same = [variant("TP53", "PAA-09A", build=build, position=build) for build in ("37", "hg19", "GRCh37")]
    assert "GRCh37" in read_maf(written(tmp_path, same)).notes[0]
    with pytest.raises(DataError, match=r"mixed: GRCh37 \(line 4\), GRCh38 \(line 7\)"):
        read_maf(written(tmp_path, [*same, variant("TP53", "PAA-09A", build="hg38")]))


def test_what_is_no_maf(tmp_path):
    path = written(tmp_path, [["too", "short"]])
    with pytest.raises(DataError, match="2 fields, the header has 9") as caught:
        read_maf(path)
    assert "line 4" in str(caught.value)
    path.write_text("feature\ta\nTP53\t1\n")
    with pytest.raises(DataError, match="this is no MAF: column hugo_symbol"):
        read_maf(path)
    path.write_text("# only a comment\n")
    with pytest.raises(DataError, match="no header"):
        read_maf(path)


@pytest.mark.parametrize("rows", [[], [variant("TP53", "PAA-09A", "Silent")]])
def test_nothing_found_is_an_answer_only_where_it_is_said_who_was_sequenced(tmp_path, rows):
    path = written(tmp_path, rows)
    mutations = read_maf(path)
    with pytest.raises(DataError, match="no non-synonymous variant"):
        choose(mutations, None, path, **RULES)
    chosen = choose(mutations, ["TARGET-10-PAA-09A", "TARGET-10-PAB-09A"], path, **RULES)
    genes, values = carrier_matrix(mutations, chosen)
    assert (genes, values.shape) == ([], (2, 0))


@pytest.mark.shared
def test_real_mafs_of_four_makers(shared_data):
    """GDC with comments, maftools, one with CR line ends alone, vcf2maf; counts by awk and sort -u."""
    folder = shared_data / "formats" / "maf"
    found = {
        path.name: (len(mutations.samples), len(mutations.carriers))
        for path in folder.glob("*.maf*")
        for mutations in [read_maf(path)]
    }
    assert found["tcga_laml.maf.gz"] == (193, 1241)
    assert found["TCGA_CHOL_gdc120col.maf.gz"][0] == 49
    assert found["APL_primary.maf.gz"][0] == 124
    assert len(read_maf(folder / "APL_primary.maf.gz").carriers["FLT3_ITD"]) == 45
    assert found["vcf2maf_test_b38_output.maf"][0] == 1
