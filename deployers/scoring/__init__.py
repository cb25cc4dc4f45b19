"""The scoring service: a bundle behind HTTP, and the one contract that every target serves.

wire      what a request may look like, and what it is answered
pictures  from an image file to what the network takes, safely
batching  requests of many clients, answered together
engines   what computes: a module each
choice    which of them, on this machine
quantize  a network in int8, and what that costs
sampling  requests that are kept for later, off the road of an answer
samples   the folder that they are in
app       the addresses
score     the same behind Azure ML's own inference server
"""
