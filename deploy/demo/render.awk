# One tile of the picture: four characters a pixel on stdout, one line a row.
#
# Told by -v: column and row of the tile. Told by the environment: the scene, see
# deploy/demo/picture.py.
# Only + - * / on IEEE doubles, one operation at a time and in the order of
# deploy/demo/reference.py: each is rounded the same everywhere, so that honest machines agree in
# every byte. Root and logarithm are made of these too: the libraries' own differ in the last bit,
# and some busyboxes are built without them.

# Of a value from 1 to 2.
function root(value,    r, i) {
    r = 1.2
    for (i = 0; i < 4; i++) r = (r + value / r) / 2
    return r
}

# To base 2, of a value of at least 1.
function logarithm(value,    halvings, t, tt) {
    for (halvings = 0; value >= 2; halvings++) value = value / 2
    t = (value - 1) / (value + 1)
    tt = t * t
    return halvings + TWICE_LOG2_E * t * (1 + tt * (THIRD + tt * (FIFTH + tt * (SEVENTH + tt / 9))))
}

# Two characters from ! to ~ for a number in 0 .. 94 * 94 - 1.
function characters(number,    high) {
    high = int(number / 94)
    return sprintf("%c%c", 33 + high, 33 + number - high * 94)
}

BEGIN {
    width = ENVIRON["WIDTH"] + 0;         height = ENVIRON["HEIGHT"] + 0
    side = ENVIRON["TILE"] + 0;           limit = ENVIRON["ITERATIONS"] + 0
    centre_x = ENVIRON["CENTRE_X"] + 0;   centre_y = ENVIRON["CENTRE_Y"] + 0
    cx = ENVIRON["C_X"] + 0;              cy = ENVIRON["C_Y"] + 0
    step = ENVIRON["VIEW_WIDTH"] / width
    escape = 1048576
    log_escape = 20
    TWICE_LOG2_E = 2.8853900817779268
    SQRT_2 = 1.4142135623730951
    THIRD = 1 / 3;  FIFTH = 1 / 5;  SEVENTH = 1 / 7

    for (j = 0; j < side; j++) {
        top = centre_y - (row * side + j + 0.5 - height / 2) * step
        line = ""
        for (i = 0; i < side; i++) {
            x = centre_x + (column * side + i + 0.5 - width / 2) * step
            y = top
            dx = 1
            dy = 0
            for (n = 0; n < limit; n++) {
                xx = x * x
                yy = y * y
                if (xx + yy >= escape) break
                t = 2 * (x * dx - y * dy)
                dy = 2 * (x * dy + y * dx)
                dx = t
                y = 2 * x * y + cy
                x = xx - yy + cx
            }
            if (n == limit) {
                line = line "!!!!"
                continue
            }
            # How soon the point escapes: continuous, and drawn together towards 1.
            log_size = logarithm(xx + yy)
            late = n + 1 - logarithm(log_size / log_escape)
            rank = late / (late + 40)
            # The slope of the potential, lit by a lamp at the upper left.
            nx = x * dx + y * dy
            ny = y * dx - x * dy
            greatest = nx < 0 ? -nx : nx
            if (ny > greatest) greatest = ny
            if (-ny > greatest) greatest = -ny
            nx = nx / greatest
            ny = ny / greatest
            light = 0.6 + 0.4 * (ny - nx) / (root(nx * nx + ny * ny) * SQRT_2)
            # Within a pixel or so of the set: darker, which softens what is too fine to be drawn.
            distance = log_size / step / 4
            near = (xx + yy) / (dx * dx + dy * dy) * distance * distance
            light = light * (near / (near + 0.25))
            line = line characters(int(rank * 8836)) characters(int(light * 8835))
        }
        print line
    }
}
