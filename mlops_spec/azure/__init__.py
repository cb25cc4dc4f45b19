"""An Azure ML workspace as the engine sees it: where it is, how it is asked, what lies in it.

    place                     which workspace, and which variables lead there
    emulation                 the emulator of `workspace=emulator`, started when nobody did
    client, refusals          Azure's SDK, its errors in words a person can act on
    provision, uploads        assets made once: libraries, clusters, images, a clock
    jobs, history             submitted, found again, followed, fetched
    registry, assets, content models and their bundles
    shelves                   what a plan must know of a workspace, asked now or told before
    checks                    what `check` looks at, by rights, machines, images and questions

Azure's SDK (1-3 s to import) is imported inside functions alone: a plan needs none of it.
"""
