import time
def test_it(made_up):
    from densezoo.comparison.report import write_report
    t=time.time(); paths = write_report(made_up.study, made_up.prepared, made_up.arms, made_up.folder); print("seconds", time.time()-t)
    import shutil
    out="/tmp/dz/cmp/report/out"; shutil.rmtree(out, ignore_errors=True); shutil.copytree(made_up.folder, out)
    from densezoo.comparison.conclusions import conclude
    for c in conclude(made_up.arms, made_up.study, True).comparisons: print(c)
