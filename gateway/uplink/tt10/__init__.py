"""Files of Thông tư 10/2021/TT-BTNMT for the authority: written each slot, kept, sent."""
