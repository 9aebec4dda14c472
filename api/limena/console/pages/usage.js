import { heading } from '../ui.js';

export default () => heading('Usage');
