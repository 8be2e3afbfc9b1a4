"""From the runs' tables to the paper's figures."""
