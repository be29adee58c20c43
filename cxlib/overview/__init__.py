"""00_data_check and 07_board: what the exports hold, and what the other pages found."""
