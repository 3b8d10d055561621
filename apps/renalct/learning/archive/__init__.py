"""Labels beside an archive: images come from DICOMweb, label versions go there as SEG, SEGs found there come in."""
