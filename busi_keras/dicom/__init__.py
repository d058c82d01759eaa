"""DICOM in and out: ultrasound files become frames, results become SEG, Structured Report and Secondary Capture.

pydicom and highdicom are imported where they are needed, never when this package is. No name, number or date of a
patient gets into a message, a log or the name of a file; what pydicom and highdicom have to say is kept quiet for that.
"""
