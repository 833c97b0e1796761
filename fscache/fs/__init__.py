"""How bytes reach the disk: the only caller of rename, link, fsync and flock.

`atomic` writes files so that no reader ever sees half of one, `lock` guards what rename alone does
not, `walk` lists what lies there, `out` writes files outside the root, `bring` takes them in.
"""
