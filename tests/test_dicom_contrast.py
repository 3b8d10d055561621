"""The phase by headers: words of many languages, codes, delays; and what they leave open."""

import pytest
from dicom_corpus import made_slices, only_series, save
from pydicom import Dataset
from renalct.core.phase import Phase, PhaseEstimate
from renalct.formats.dicom.contrast import estimate_phase


def estimate(folder, **attributes):
    attributes.setdefault("SpecificCharacterSet", "ISO_IR 192")
    return estimate_phase(only_series(save(made_slices(2, **attributes), folder)))


@pytest.mark.parametrize(
    ("description", "phase"),
    [
        ("Abd W/O 3.0 B30f", Phase.NON_CONTRAST),
        ("ABDOMEN WITHOUT CONTRAST", Phase.NON_CONTRAST),
        ("non-contrast 5mm", Phase.NON_CONTRAST),
        ("Unenhanced", Phase.NON_CONTRAST),
        ("Abdomen nativ 5.0", Phase.NON_CONTRAST),
        ("Sans injection", Phase.NON_CONTRAST),
        ("SIN CONTRASTE", Phase.NON_CONTRAST),
        ("senza mdc", Phase.NON_CONTRAST),
        ("sem contraste", Phase.NON_CONTRAST),
        ("Abdomen blanco", Phase.NON_CONTRAST),
        ("腹部平扫", Phase.NON_CONTRAST),
        ("単純CT", Phase.NON_CONTRAST),
        ("ABD C-", Phase.NON_CONTRAST),
        ("Abdomen arterial 1.5", Phase.CORTICOMEDULLARY),
        ("Late arterial", Phase.CORTICOMEDULLARY),
        ("spätarteriell", Phase.CORTICOMEDULLARY),
        ("Corticomedullary", Phase.CORTICOMEDULLARY),
        ("Artériel tardif", Phase.CORTICOMEDULLARY),
        ("фаза артериальная", Phase.CORTICOMEDULLARY),
        ("动脉期", Phase.CORTICOMEDULLARY),
        ("皮質相", Phase.CORTICOMEDULLARY),
        ("NEPHROGRAPHIC 2.0", Phase.NEPHROGRAPHIC),
        ("fase nefrografica", Phase.NEPHROGRAPHIC),
        ("Néphrographique", Phase.NEPHROGRAPHIC),
        ("Portal venous", Phase.NEPHROGRAPHIC),
        ("Abdomen portalvenös", Phase.NEPHROGRAPHIC),
        ("temps veineux", Phase.NEPHROGRAPHIC),
        ("VENOUS_PHASE", Phase.NEPHROGRAPHIC),
        ("ABD PV", Phase.NEPHROGRAPHIC),
        ("静脉期", Phase.NEPHROGRAPHIC),
        ("门脉期", Phase.NEPHROGRAPHIC),
        ("Excretory", Phase.EXCRETORY),
        ("DELAY 10 MIN", Phase.EXCRETORY),
        ("Urogram", Phase.EXCRETORY),
        ("Ausscheidungsphase", Phase.EXCRETORY),
        ("tardif", Phase.EXCRETORY),
        ("Spätphase", Phase.EXCRETORY),
        ("排泄期", Phase.EXCRETORY),
        ("延迟期", Phase.EXCRETORY),
    ],
)
def test_words_of_a_description_name_the_phase(tmp_path, description, phase):
    found = estimate(tmp_path, SeriesDescription=description)
    assert found.phase is phase
    assert 0.8 <= found.probability < 1
    assert found.evidence.startswith("SeriesDescription says '")


@pytest.mark.parametrize(
    "description",
    ["CT AP W CONTRAST", "Abdomen 5.0 B30f", "ABD W/WO CONTRAST", "with and without contrast", "alternative kernel",
     "Corte axial del abdomen", "No series description", "1.25mm STND", "pre-op planning", ""],
)  # fmt: skip
def test_words_that_name_no_phase_leave_it_unknown(tmp_path, description):
    assert estimate(tmp_path, SeriesDescription=description) == PhaseEstimate()


def test_a_description_of_two_phases_decides_nothing(tmp_path):
    found = estimate(tmp_path, SeriesDescription="arterial + venous")
    assert (found.phase, found.probability) == (Phase.UNKNOWN, 0.0)
    assert "'arteri' and 'venous'" in found.evidence


def test_the_protocol_speaks_when_the_description_does_not(tmp_path):
    found = estimate(tmp_path, SeriesDescription="1.0 B30f", ProtocolName="Kidney_Nephro")
    assert found.phase is Phase.NEPHROGRAPHIC and found.evidence.startswith("ProtocolName")


@pytest.mark.parametrize(
    ("seconds", "phase"),
    [
        (-60, Phase.NON_CONTRAST),
        (35, Phase.CORTICOMEDULLARY),
        (70, Phase.NEPHROGRAPHIC),
        (100, Phase.NEPHROGRAPHIC),
        (300, Phase.EXCRETORY),
    ],
)
def test_the_delay_after_the_injection_gives_the_phase(tmp_path, seconds, phase):
    minutes, rest = divmod(600 + seconds, 60)
    found = estimate(tmp_path, ContrastBolusStartTime="101000", AcquisitionTime=f"10{minutes:02d}{rest:02d}.000")
    assert found.phase is phase
    assert f"scanned {seconds} s after the start of the injection" in found.evidence


def test_a_delay_over_midnight_is_right(tmp_path):
    found = estimate(tmp_path, ContrastBolusStartTime="235930", AcquisitionTime="000105", AcquisitionDate="20260102")
    assert found.phase is Phase.NEPHROGRAPHIC and "scanned 95 s" in found.evidence


def test_portal_venous_delay_is_less_sure_than_nephrographic(tmp_path):
    early = estimate(tmp_path / "a", ContrastBolusStartTime="101000", AcquisitionTime="101110")
    late = estimate(tmp_path / "b", ContrastBolusStartTime="101000", AcquisitionTime="101150")
    assert early.probability < late.probability


def test_agreeing_evidence_is_surer_and_all_of_it_is_told(tmp_path):
    words = estimate(tmp_path / "a", SeriesDescription="nephro")
    both = estimate(
        tmp_path / "b", SeriesDescription="nephro", ContrastBolusStartTime="101000", AcquisitionTime="101150"
    )
    assert both.probability > words.probability
    assert "SeriesDescription" in both.evidence and "110 s" in both.evidence


def test_a_contrast_agent_alone_says_enhanced_but_not_when(tmp_path):
    found = estimate(tmp_path, ContrastBolusAgent="IOHEXOL")
    assert (found.phase, found.evidence) == (Phase.UNKNOWN, "a contrast agent is named")


@pytest.mark.parametrize("agent", ["ORAL", "NONE", ""])
def test_an_oral_or_no_agent_says_nothing(tmp_path, agent):
    assert estimate(tmp_path, ContrastBolusAgent=agent) == PhaseEstimate()


def test_a_coded_phase_is_believed(tmp_path):
    found = estimate(tmp_path, ContrastBolusAgentPhase="PORTAL_VENOUS")
    assert found.phase is Phase.NEPHROGRAPHIC and "PORTAL_VENOUS" in found.evidence


def test_a_start_time_within_the_agent_sequence_is_found(tmp_path):
    agent, dose = Dataset(), Dataset()
    dose.ContrastBolusStartTime = "101000"
    agent.ContrastAdministrationProfileSequence = [dose]
    found = estimate(tmp_path, ContrastBolusAgentSequence=[agent], AcquisitionTime="101030")
    assert found.phase is Phase.CORTICOMEDULLARY


def test_damaged_times_say_nothing(tmp_path):
    assert estimate(tmp_path, ContrastBolusStartTime="", AcquisitionTime="101030") == PhaseEstimate()
