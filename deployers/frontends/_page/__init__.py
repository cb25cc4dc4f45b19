"""The page that people show pictures to: Flask, its templates, and nothing from elsewhere.

__main__   the process: settings, waitress
app        the addresses, and what a request becomes
client     asks the scoring service; its key stays here
guard      who is let in: tokens, headers, limits
words      numbers and names as people say them
assets     templates, style and script
"""
