"""Files to records: images, DICOM, metadata, patients, duplicates, the split, lungs and the scan of a data set."""
