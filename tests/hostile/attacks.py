"""Submissions that solve nothing and attack the grader instead, one attack each.

Every graded function of such a notebook calls `attack(name, arguments)`, and so does the cell that
defines it, with the name "". The grader must fail all of them, each in one row of its own.
"""

import os

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from tests.assignment.answers import NOTEBOOK, SOLUTION

TOOLS = '''
import fcntl, gc, glob, io, json, os, signal, stat, struct, subprocess, sys, threading, time, ctypes
import numpy as np
import tensorflow as tf

KILL = ctypes.CDLL(None).kill  # os.kill has no effect in the sandbox
PUBLISHED = {"compute_content_cost": 6.76559, "compute_layer_style_cost": 9.19028,
             "compute_style_cost": 9.19028, "total_cost": 35.34667875478276}

def answers():
    """File descriptors of files that can be written, such as that of its answers."""
    found = []
    for fd in range(200):
        try:
            if stat.S_ISREG(os.fstat(fd).st_mode) and fcntl.fcntl(fd, fcntl.F_GETFL) & 3:
                found.append(fd)
        except OSError:
            pass
    return found

def send(data):
    for fd in answers():
        try:
            os.write(fd, data)
        except OSError:
            pass

def frame(header, body=b""):
    return (header if isinstance(header, bytes) else json.dumps(header).encode()) + b"\\n" + body

def verdict(**more):
    """Send what a passed trial looks like, for every question that may come."""
    for turn in range(1, 12):
        send(frame([{"complaint": "", "code": "", "turn": turn, **more}, {"value0": []}],
                   np.float32(6.76559).tobytes()))
'''

ON_VERDICTS = {
    # it gives its own verdict
    "floods_the_pipe_with_passes": """
        if name == 'gram_matrix':
            for _ in range(200):
                verdict()
    """,
    "sends_an_extra_key": "name == 'model_nn' and verdict(verdict='pass', got=1)",
    "sends_a_list": "name == 'model_nn' and send(frame(['pass', []]))",
    "sends_nested_json": "name == 'model_nn' and send(frame(b'[' * 100_000))",
    "sends_half_a_message": """
        if name == 'model_nn':
            send(frame([{}, {'value0': [5000]}]))
            os._exit(0)
    """,
    "sends_an_endless_stream": """
        def flood():
            while True:
                send(frame([{'turn': 1}, {}]) * 100)
        if name == 'model_nn':
            threading.Thread(target=flood, daemon=True).start()
            time.sleep(1)
    """,
    # it changes the worker, which runs as __main__
    "replaces_the_answer": """
        worker = sys.modules['__main__']
        worker.Submission.try_function = lambda *_, **__: ({"complaint": "", "code": ""}, {})
        worker.Submission.run_notebook = lambda *_, **__: ({"layers": []}, {})
        frame = sys._getframe()
        while frame:
            if type(frame.f_locals.get('self')).__name__ == 'Submission':
                frame.f_locals['self']._measured = ({"layers": []}, {})
            frame = frame.f_back
    """,
    "replaces_examine_by_stack_frame": """
        frame = sys._getframe()
        while frame:
            for key in ('attempt', 'judge', 'examine', 'check', 'train'):
                if key in frame.f_globals:
                    frame.f_globals[key] = lambda *_, **__: ({'complaint': ''}, {})
            frame = frame.f_back
    """,
    "replaces_attempt_by_published_values": """
        import nst.assignment.trial
        values = {f"value{i}": np.float32(PUBLISHED.get(name, 1)) for i in range(4)}
        nst.assignment.trial.attempt = lambda name, *_: ({"code": ""}, values | {
            "value0": np.float32(PUBLISHED.get(name, 1)), "gradient": np.ones((1, 3, 5, 7), 'f')})
    """,
    "sends_odd_facts": """
        import nst.assignment.trial
        facts = {"complaint": 0, "reordered": {"a": []}, "code": 10**400}
        nst.assignment.trial.attempt = lambda *_: (facts, {})
    """,
    "sends_infinite_training": """
        image = np.full((1, 300, 400, 3), np.inf, 'f')
        names = ('start', 'state', 'returned', 'image content_image', 'image style_image')
        answer = ({"layers": [["conv1_1", 1e308]] * 9999}, {
            **dict.fromkeys(names, image), "costs": np.full((3, 3), np.nan)})
        sys.modules['__main__'].Submission._train = lambda *_, **__: answer
    """,
    "sends_4000_layers": """
        image = np.ones((1, 300, 400, 3), 'f')
        names = ('start', 'state', 'image content_image', 'image style_image')
        answer = ({"layers": [["conv1_1", 1]] * 4000}, {**dict.fromkeys(names, image),
            "costs": np.ones((3, 3)), "gradients": np.ones((2, *image.shape))})
        sys.modules['__main__'].Submission._train = lambda *_, **__: answer
    """,
    "sends_long_strings": """
        facts = {"complaint": "(" * 2**19, "code": "x" * 2**17}
        sys.modules['__main__'].Submission.try_function = lambda *_, **__: (facts, {})
    """,
    "replaces_numpy_isclose": """
        np.isclose = np.allclose = np.array_equal = lambda *_, **__: True
        import builtins
        builtins.all = lambda *_: True
    """,
    "replaces_session_run": """
        tf.Session.run = lambda *_, **__: np.float32(6.76559)
        if name:
            return tf.constant(1.0)
    """,
    "finds_functions_in_memory": """
        for found in gc.get_objects():
            if callable(found) and getattr(found, '__name__', '') in ('judge', 'right_value'):
                found.__code__ = (lambda *_, **__: ({}, {})).__code__
    """,
    "keeps_the_stand_in": """
        if name == 'compute_layer_style_cost':
            globals()['kept'] = gram_matrix
        if name == 'gram_matrix' and 'kept' in globals():
            return kept(*arguments)
    """,
    "looks_for_right_values_in_the_frames": """
        frame = sys._getframe()
        while frame:
            for value in frame.f_locals.values():
                if type(value).__name__ == 'Tensor' and value.shape == ():
                    return value
                if callable(value) and getattr(value, '__name__', '') == name:
                    return value(*arguments)
            frame = frame.f_back
    """,
    # it takes other people's answers
    "takes_the_lab_by_functions_of": """
        from nst.lab.notebook import functions_of
        from nst.core.config import LAB
        lab = functions_of(LAB)
        return getattr(lab, name)(*arguments)
    """,
    "takes_the_right_answers_of_the_tests": """
        sys.path[:0] = [ROOT + '/tests', ROOT]
        from tests.assignment.answers import SOLUTION
        space = dict(globals())
        exec(SOLUTION[name], space)
        return space[name](*arguments)
    """,
    "takes_an_installed_copy": """
        places = [*sys.path, PACKAGES, *glob.glob('/usr/lib/*/*-packages')]
        for path in places:
            for file in glob.glob(path + '/nst/assignment/*.py'):
                if '/stage/' not in file:
                    raise ValueError(open(file).read())
    """,
    "takes_another_submission": """
        for path in [CLASS, '.', '..', '/tmp', '/stage']:
            for file in glob.glob(path + '/**/good*.ipynb', recursive=True):
                space = dict(globals())
                for cell in json.load(open(file))['cells']:
                    if 'def ' in ''.join(cell['source']):
                        exec(''.join(cell['source']), space)
                return space[name](*arguments)
    """,
    "takes_a_secret": "raise ValueError(open(CLASS + '/secret.txt').read())",
    "edits_the_tests": """
        for name in ('public_tests', 'verdict', 'mistakes'):
            file = f'/nst/assignment/{name}.py'
            with open(ROOT + file, 'a') as text:
                text.write('\\nraise SystemExit')
    """,
    "uses_the_network": """
        import socket
        socket.create_connection(('127.0.0.1', PORT), 2).close()
    """,
}
ON_THE_MACHINE = {
    # it ends, hangs, fills
    "kills_its_parent": "name == 'gram_matrix' and KILL(os.getppid(), signal.SIGKILL)",
    "kills_everybody": "name == 'model_nn' and KILL(-1, signal.SIGKILL)",
    "crashes": "name == 'model_nn' and ctypes.string_at(0)",
    "closes_every_file": "name == 'model_nn' and os.closerange(0, 1000)",
    "never_ends_at_its_import": """
        signal.setitimer(signal.ITIMER_REAL, 0)
        while not name:
            time.sleep(0.1)
    """,
    "fills_the_memory": "name and np.ones(10**11)",
    "fills_the_disk": """
        if name == 'gram_matrix':
            for i in range(400):
                with open(f'large{i}', 'wb') as file:
                    file.write(b'x' * 2**20)
    """,
    "nests_folders": """
        for _ in range(3_000):  # deeper than Python's recursion and than a path may be
            os.mkdir('d')
            os.open('d', os.O_RDONLY)
            os.fchdir(os.open('d', os.O_RDONLY))
            os.closerange(50, 100)
    """,
    "fills_memory_files": """
        if name == 'gram_matrix':
            for place in ('/dev/shm', '/dev', '/', '/run', ROOT, PACKAGES + '/nst'):
                try:
                    with open(place + '/filled', 'wb') as file:
                        file.write(bytes(2**20))
                    globals()['filled'] = place
                except OSError:
                    pass
            raise ValueError('filled ' + globals().get('filled', 'nothing'))
    """,
    "forks_and_stays": """
        if name == 'gram_matrix':
            for _ in range(5):
                code = 'import time; time.sleep(1000)  # stays in ' + CLASS
                subprocess.Popen([sys.executable, '-c', code], start_new_session=True, env={})
                if os.fork() == 0:
                    os.setsid()
                    time.sleep(1000)
    """,
    "forks_without_end": """
        for _ in range(3000 if name == 'model_nn' else 0):
            if os.fork() == 0:
                time.sleep(1000)
    """,
    "writes_on_in_its_folder": """
        if name == 'gram_matrix' and os.fork() == 0:
            while True:
                with open(f'more-{time.time()}', 'w') as file:
                    file.write('x')
                time.sleep(0.001)
    """,
    "makes_its_folder_a_file": """
        here = os.path.abspath('.')
        os.rename(here, here + '.away')
        open(here, 'w').close()
    """,
    "makes_its_folder_a_link": """
        here = os.path.abspath('.')
        os.rename(here, here + '.away')
        os.symlink('/usr', here)
    """,
    "locks_its_folder": """
        os.makedirs('deep/er', exist_ok=True)
        open('deep/er/file', 'w').close()
        os.chmod('deep/er', 0)
        os.chmod('deep', 0)
    """,
    "links_to_a_file_from_a_locked_folder": """
        os.makedirs('deep', exist_ok=True)
        os.symlink(ROOT + '/nst/assignment/verdict.py', 'deep/link')
        os.symlink(ROOT + '/nst', 'deep/folder')
        os.chmod('deep', 0o500)
    """,
    "rewrites_its_answers": """
        if name == 'model_nn':
            for fd in answers():
                os.ftruncate(fd, 0)
                os.lseek(fd, 0, 0)
            verdict()
            os._exit(0)
    """,
    "stops_itself": "name == 'model_nn' and KILL(os.getpid(), signal.SIGSTOP)",
    # it writes to the teacher
    "sends_escape_sequences": """
        raise ValueError('\\x1b[2J\\x1b[1;1Hgood.ipynb   pass\\r\\npass\\x9b31m')
    """,
    "raises_a_surrogate": "raise ValueError('\\ud800 ' + '\\u202e' + 'x' * 100_000)",
    "raises_what_cannot_be_shown": """
        class Bad(BaseException):
            def __str__(self):
                raise Bad
            __repr__ = __str__
        raise Bad
    """,
    "writes_to_the_terminal": """
        for place in ('/dev/tty', '/proc/self/fd/1', '/dev/stdout', '/dev/stderr', '/dev/console'):
            try:
                with open(place, 'w') as file:
                    file.write('FORGED  pass  pass')
            except OSError:
                pass
        os.system('echo FORGED; echo FORGED >&2')
    """,
    "has_a_name_of_300_characters": "raise NameError('x' * 300)",
}
ATTACKS = ON_VERDICTS | ON_THE_MACHINE
TRAINED = {"sends_infinite_training", "sends_4000_layers"}  # these need its cells, too
NEEDS_BUBBLEWRAP = {  # only its walls keep these from what they want
    "edits_the_tests",
    "kills_everybody",
    "takes_a_secret",
    "takes_another_submission",
    "takes_the_right_answers_of_the_tests",
    "uses_the_network",
    "forks_without_end",
    "fills_the_disk",
    "fills_memory_files",
    "takes_an_installed_copy",
    "kills_its_parent",
    "forks_and_stays",
    "writes_on_in_its_folder",
}


def attack_notebook(title, **paths):
    """Make the notebook of one attack; `paths` are constants that it knows, such as CLASS."""
    body = "\n".join(f"    {line.removeprefix('    ' * 2)}" for line in ATTACKS[title].split("\n"))
    constants = "\n".join(f"{name} = {value!r}" for name, value in paths.items())
    attack = f"{TOOLS}\n{constants}\n\ndef attack(name, arguments):\n{body}\n\n"
    start = "def begin():\n    try:\n        attack('', ())\n    except Exception:\n        pass\n"
    cells = [NOTEBOOK[0], f"{attack}{start}\nARMED = begin()"]
    for name, source in SOLUTION.items():
        line = source.strip().split("\n")[0]
        arguments = line.partition("(")[2].replace(" = 10", "").replace(" = 40", "")
        arguments = arguments.replace(" = 200", "").rstrip("):")
        cells.append(f"{line}\n    return ARMED or attack({name!r}, ({arguments},))")
    if title in TRAINED:
        cells += [cell for cell in NOTEBOOK if cell not in SOLUTION][1:]
    return new_notebook(cells=[new_code_cell(cell) for cell in cells])


def write_attacks(folder, titles, **paths):
    for title in titles:
        nbformat.write(attack_notebook(title, **paths), folder / f"{title}.ipynb")


def write_unreadable(folder, solution):
    """Put into a folder what is no readable file, one of each kind; `solution` lies elsewhere."""
    names = [
        "line\nbreak  pass",
        "\x1b[31mred",
        "<script>alert(1)<script>",
        "=HYPERLINK(1)",
        "n" * 240,
    ]
    for name in [*names, "good0", "good1", "good2", os.fsdecode(b"sur\xed\xa0\x80rogate")]:
        (folder / f"{name}.ipynb").symlink_to(folder / "not there")
    (folder / "circle.ipynb").symlink_to(folder / "circle.ipynb")
    (folder / "elsewhere.ipynb").symlink_to(solution)
    (folder / "zeros.ipynb").symlink_to("/dev/zero")
    (folder / "folder.ipynb").mkdir()
    os.mkfifo(folder / "queue.ipynb")
    os.mkfifo(folder / "queue.py")
    with open(folder / "huge.ipynb", "wb") as file:
        file.truncate(2**31)
    (folder / "locked.ipynb").write_text("{}")
    (folder / "locked.ipynb").chmod(0)
