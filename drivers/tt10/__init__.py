"""Stations that write files of Thông tư 10/2021/TT-BTNMT into a folder."""
