"""An Azure ML workspace as the engine sees it: where it is, how it is asked, what lies in it.

    place      which workspace, and which variables lead there
    emulation  the emulator of `workspace=emulator`, started when nobody did
    client     Azure's SDK, its errors in words a person can act on

Azure's SDK (1-3 s to import) is imported inside functions alone: a plan needs none of it.
"""
