"""00_data_check, 07_board and 08_finance: what the exports hold, and what the other pages found."""
