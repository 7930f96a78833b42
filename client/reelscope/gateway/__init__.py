"""The gateway: analyses over HTTP, on port 8003 (extra `[gateway]`).

    command         `reelscope serve`
    configuration   what an operator chooses
    problems        the one table of errors, and their bodies (RFC 9457)
    schemas         what goes over the wire
    intake          requests into jobs: paths below roots, uploads, options
    jobs            the bounded queue, running, cancelling, erasing
    store           jobs, events and results in one SQLite file
    runner          one process per job
    analysis        what that process does
    reporting       what the process of a report does
    health          what the Triton server can do, checked all the time
    observability   metrics, logs, request ids
    app             the routes

Import what is needed from its module: the command line must be able to load `command` without the extra.
"""
