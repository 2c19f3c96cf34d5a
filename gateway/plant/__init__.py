"""The simulated factory behind `genba plant` and `genba demo`.

Two press lines whose sensors are served by real protocol servers in separate processes. Every
value is a pure function of (seed, step, tag), so all processes see one plant without talking.
"""
